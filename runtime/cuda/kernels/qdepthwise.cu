// Integer depthwise convolution: the sum over the taps inside of the image of (x - zero_point) * weight, which is what
// taps outside, at the zero point, leave of all.
#include "depthwise.cuh"

namespace {

DEVICE void store_bytes(const DepthwiseParams& p, const Strip& s, const Channel<int> (&channels)[4],
                        const int (&sums)[COLUMNS][4]) {
  const Epilogue& e = p.epilogue;
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
    if (s.ow + i >= p.window.out_width) break;
    const int64_t pixel = pixel_of(p, s, i);
    uint32_t residual = 0, word = 0;
    if (e.residual != nullptr) {
      residual = load_quad<uint8_t, uint32_t>(residual_bytes(e) + pixel * e.residual_row + s.channel, s.channels);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float v = scale_sum(sums[i][j], channels[j]);
      if (e.residual != nullptr) v = add_byte(e, static_cast<uint8_t>(residual >> 8 * j), v);
      word |= static_cast<uint32_t>(to_byte(e, v)) << 8 * j;
    }
    uint8_t* out = static_cast<uint8_t*>(e.out) + pixel * e.out_row + s.channel;
    if (s.channels == 4 && reinterpret_cast<uintptr_t>(out) % 4 == 0) {
      *reinterpret_cast<uint32_t*>(out) = word;
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j < s.channels) out[j] = static_cast<uint8_t>(word >> 8 * j);
      }
    }
  }
}

}  // namespace

KERNEL(qdepthwise, kDepthwiseThreads, 1, DepthwiseParams) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kDepthwiseThreads + threadIdx.x;
  if (index >= p.work) return;
  const Strip s = find_strip(p, index);
  const Epilogue& e = p.epilogue;
  int sums[COLUMNS][4];
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] = 0;
  }
  const uint8_t* x = static_cast<const uint8_t*>(p.x);
  const int8_t* weight = static_cast<const int8_t*>(p.weight) + s.channel;
  const int64_t pitch = (e.columns + 3) / 4 * 4;
  uint32_t w = 0;
  for_each_tap(
      p, s, [&](int tap) { w = *reinterpret_cast<const uint32_t*>(weight + tap * pitch); },
      [&](int i, bool inside, int64_t at) {
        if (!inside) return;
        const uint32_t bytes = load_quad<uint8_t, uint32_t>(x + at, s.channels);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int value = static_cast<int>(bytes >> 8 * j & 255) - p.zero_point;
          sums[i][j] += value * static_cast<int8_t>(w >> 8 * j & 255);
        }
      });
  Channel<int> channels[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int c = s.channel + (j < s.channels ? j : 0);
    channels[j] = {0, e.scale[c], e.bias != nullptr ? e.bias[c] : 0.0f};
  }
  if (e.is_float) {
    store_floats(p, s, [&](int i, int j) { return scale_sum(sums[i][j], channels[j]); });
  } else {
    store_bytes(p, s, channels, sums);
  }
}
