// Depthwise convolution, NHWC, one filter a channel: what its kernels share. Each thread makes COLUMNS neighbours of
// one row in four channels. Grid: (ceil(work / 128)), 128 threads.
#pragma once
#include "epilogue.cuh"
#include "window.cuh"

struct DepthwiseParams {
  const void* x;
  const void* weight;  // [kernel_height, kernel_width, ceil4(channels)]
  Epilogue epilogue;
  int64_t work;   // images * out_height * ceil(out_width / COLUMNS) * ceil(channels / 4)
  int64_t pixel;  // elements of x from pixel to pixel; rows and images are dense
  int32_t zero_point;
  Window window;
};

constexpr int kDepthwiseThreads = 128;

// The results of a thread: COLUMNS of them from column `ow` on, of `channels` channels, at most 4, from `channel` on.
struct Strip {
  int channel, channels, ow, oh;
  int64_t image;
};

DEVICE Strip find_strip(const DepthwiseParams& p, int64_t index) {
  const int quads = (p.epilogue.columns + 3) / 4, strips = (p.window.out_width + COLUMNS - 1) / COLUMNS;
  Strip s;
  s.channel = static_cast<int>(index % quads) * 4;
  s.channels = p.epilogue.columns - s.channel < 4 ? p.epilogue.columns - s.channel : 4;
  index /= quads;
  s.ow = static_cast<int>(index % strips) * COLUMNS;
  index /= strips;
  s.oh = static_cast<int>(index % p.window.out_height);
  s.image = index / p.window.out_height;
  return s;
}

// Calls visit(tap, i, inside, pixel of x) for every tap, in order, of every column i of the strip, which may lie
// outside of the result.
template <class Begin, class Visit>
DEVICE void for_each_tap(const DepthwiseParams& p, const Strip& s, Begin begin, Visit visit) {
  for (int kh = 0; kh < p.window.kernel_height; ++kh) {
    const int ih = s.oh * p.window.stride_h - p.window.padding_h + kh * p.window.dilation_h;
    const bool is_row = ih >= 0 && ih < p.window.height;
    const int64_t row = (s.image * p.window.height + ih) * p.window.width;
    for (int kw = 0; kw < p.window.kernel_width; ++kw) {
      begin(kh * p.window.kernel_width + kw);
#pragma unroll
      for (int i = 0; i < COLUMNS; ++i) {
        const int iw = (s.ow + i) * p.window.stride_w - p.window.padding_w + kw * p.window.dilation_w;
        visit(i, is_row && iw >= 0 && iw < p.window.width && s.ow + i < p.window.out_width,
              (row + iw) * p.pixel + s.channel);
      }
    }
  }
}

// Four elements, those beyond `valid` zero.
template <class T, class Whole>
DEVICE Whole load_quad(const T* p, int valid) {
  if (valid >= 4 && reinterpret_cast<uintptr_t>(p) % sizeof(Whole) == 0) return *reinterpret_cast<const Whole*>(p);
  union {
    T element[4];
    Whole whole;
  } quad;
#pragma unroll
  for (int i = 0; i < 4; ++i) quad.element[i] = i < valid ? p[i] : T{0};
  return quad.whole;
}

DEVICE int64_t pixel_of(const DepthwiseParams& p, const Strip& s, int i) {
  return (s.image * p.window.out_height + s.oh) * p.window.out_width + s.ow + i;
}

struct alignas(16) Quad {
  float lane[4];
};

// Stores value(column, channel) + residual, limited, then the curve of that.
template <class Value>
DEVICE void store_floats(const DepthwiseParams& p, const Strip& s, Value value) {
  const Epilogue& e = p.epilogue;
  float* out = static_cast<float*>(e.out) + s.channel;
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
    if (s.ow + i >= p.window.out_width) break;
    const int64_t pixel = pixel_of(p, s, i);
    Quad v;
#pragma unroll
    for (int j = 0; j < 4; ++j) v.lane[j] = value(i, j);
    if (e.residual != nullptr) {
      const Quad added = load_quad<float, Quad>(residual_floats(e) + pixel * e.residual_row + s.channel, s.channels);
#pragma unroll
      for (int j = 0; j < 4; ++j) v.lane[j] += added.lane[j];
    }
    float* to = out + pixel * e.out_row;
#pragma unroll
    for (int j = 0; j < 4; ++j) v.lane[j] = limit(e, v.lane[j]);
    if (s.channels == 4 && reinterpret_cast<uintptr_t>(to) % 16 == 0) {
      *reinterpret_cast<Quad*>(to) = v;
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j < s.channels) to[j] = v.lane[j];
      }
    }
  }
  if (!has_curve(e)) return;
  // What this thread stored, from memory again: so the kernel has the curves' code once, not once an element.
#pragma unroll 1
  for (int index = 0; index < COLUMNS * 4; ++index) {
    const int i = index / 4, j = index % 4;
    if (s.ow + i >= p.window.out_width || j >= s.channels) continue;
    float* to = out + pixel_of(p, s, i) * e.out_row + j;
    *to = apply_curve(e, *to);
  }
}
