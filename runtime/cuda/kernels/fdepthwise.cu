// Float depthwise convolution: one chain of fused multiply-adds over the taps, started at the bias; what lies outside
// of the image is zero, and multiplied like the rest.
#include "depthwise.cuh"

KERNEL(fdepthwise, kDepthwiseThreads, 1, DepthwiseParams) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kDepthwiseThreads + threadIdx.x;
  if (index >= p.work) return;
  const Strip s = find_strip(p, index);
  const Epilogue& e = p.epilogue;
  Quad start = {{0, 0, 0, 0}};
  if (e.bias != nullptr) start = load_quad<float, Quad>(e.bias + s.channel, s.channels);
  float sums[COLUMNS][4];
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[i][j] = flush(start.lane[j]);
  }
  const float* x = static_cast<const float*>(p.x);
  const float* weight = static_cast<const float*>(p.weight) + s.channel;
  const int64_t pitch = (e.columns + 3) / 4 * 4;
  Quad w;
  for_each_tap(
      p, s, [&](int tap) { w = *reinterpret_cast<const Quad*>(weight + tap * pitch); },
      [&](int i, bool inside, int64_t at) {
        Quad value = {{0, 0, 0, 0}};
        if (inside) value = load_quad<float, Quad>(x + at, s.channels);
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = multiply_add(value.lane[j], w.lane[j], sums[i][j]);
      });
  store_floats(p, s, [&](int i, int j) { return sums[i][j]; });
}
