// Integer depthwise convolution, NHWC, one filter a channel:
//
//   sum[n, oh, ow, c] = sum over taps (kh, kw) inside of the image of (x[n, ih, iw, c] - zero_point) * weight[kh, kw,
//   c],
//
// then the epilogue (its offset is zero: taps outside of the image add nothing). Each thread makes COLUMNS neighbours
// of one row in four channels. Grid: (ceil(work / 128)), 128 threads.
#include "epilogue.cuh"

struct DepthwiseParams {
  const uint8_t* x;      // [images, height, width, channels]
  const int8_t* weight;  // [kernel_height, kernel_width, ceil4(channels)]
  Epilogue epilogue;
  int64_t work;  // images * out_height * ceil(out_width / COLUMNS) * ceil(channels / 4)
  int32_t zero_point;
  int32_t height;
  int32_t width;
  int32_t out_height;
  int32_t out_width;
  int32_t kernel_height;
  int32_t kernel_width;
  int32_t stride_h;
  int32_t stride_w;
  int32_t padding_h;
  int32_t padding_w;
  int32_t dilation_h;
  int32_t dilation_w;
};

namespace {

constexpr int kThreads = 128;

DEVICE uint32_t load4(const uint8_t* p, int valid) {
  if (valid >= 4 && reinterpret_cast<uintptr_t>(p) % 4 == 0) return *reinterpret_cast<const uint32_t*>(p);
  uint32_t word = 0;
  for (int i = 0; i < 4 && i < valid; ++i) word |= static_cast<uint32_t>(p[i]) << 8 * i;
  return word;
}

DEVICE void store_quad(const Epilogue& e, int64_t index, int channel, const int (&sums)[4]) {
  auto* out = static_cast<uint8_t*>(e.out) + index;
  if (e.is_float || channel + 4 > e.channels || reinterpret_cast<uintptr_t>(out) % 4 != 0) {
    for (int j = 0; j < 4 && channel + j < e.channels; ++j) store_element(e, index + j, channel + j, sums[j]);
    return;
  }
  const uint32_t residual = e.residual != nullptr ? load4(e.residual + index, 4) : 0;
  uint32_t word = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    float v = scale_sum(sums[j], load_channel(e, channel + j));
    if (e.residual != nullptr) v = add_residual(e, static_cast<uint8_t>(residual >> 8 * j), v);
    word |= static_cast<uint32_t>(to_byte(e, v)) << 8 * j;
  }
  *reinterpret_cast<uint32_t*>(out) = word;
}

}  // namespace

KERNEL(qdepthwise, kThreads, 1, DepthwiseParams) {
  int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= p.work) return;
  const int channels = p.epilogue.channels, quads = (channels + 3) / 4;
  const int strips = (p.out_width + COLUMNS - 1) / COLUMNS;
  const int c = static_cast<int>(index % quads) * 4;
  index /= quads;
  const int ow = static_cast<int>(index % strips) * COLUMNS;
  index /= strips;
  const int oh = static_cast<int>(index % p.out_height);
  const int64_t image = index / p.out_height;

  int sums[COLUMNS][4];
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] = 0;
  }
  for (int kh = 0; kh < p.kernel_height; ++kh) {
    const int ih = oh * p.stride_h - p.padding_h + kh * p.dilation_h;
    if (ih < 0 || ih >= p.height) continue;
    for (int kw = 0; kw < p.kernel_width; ++kw) {
      const int8_t* weight = p.weight + (static_cast<int64_t>(kh) * p.kernel_width + kw) * quads * 4 + c;
      const uint32_t w = *reinterpret_cast<const uint32_t*>(weight);
#pragma unroll
      for (int i = 0; i < COLUMNS; ++i) {
        const int iw = (ow + i) * p.stride_w - p.padding_w + kw * p.dilation_w;
        if (iw < 0 || iw >= p.width || ow + i >= p.out_width) continue;
        const uint32_t x = load4(p.x + ((image * p.height + ih) * p.width + iw) * channels + c, channels - c);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int value = static_cast<int>(x >> 8 * j & 255) - p.zero_point;
          sums[i][j] += value * static_cast<int8_t>(w >> 8 * j & 255);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
    if (ow + i >= p.out_width) break;
    const int64_t out = ((image * p.out_height + oh) * p.out_width + ow + i) * channels + c;
    store_quad(p.epilogue, out, c, sums[i]);
  }
}
