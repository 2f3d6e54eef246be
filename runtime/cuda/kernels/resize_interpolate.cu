// Interpolation by TAPS x TAPS taps, of the family kernels/resize of the CPU: WIDTH neighbouring channels a thread.
// Grid: any number of blocks of 256 threads.
#include "resize_pixels.cuh"

namespace {

struct alignas(4 * WIDTH) Channels {
  float of[WIDTH];
};

}  // namespace

KERNEL(resize_interpolate, kElementThreads, 1, ResizeCall) {
  const ResizeParams& q = p.p;
  for_each_pixel(p, [&](int64_t to, int64_t image, const Place& y, const Place& x, int64_t channel) {
    Channels sum{};
#pragma unroll
    for (int k = 0; k < TAPS; ++k) {
      const float* line = p.src + (image * q.ih + y.index[k]) * q.iw * q.c + channel;
      Channels across{};
#pragma unroll
      for (int j = 0; j < TAPS; ++j) {
        const Channels v = *reinterpret_cast<const Channels*>(line + x.index[j] * q.c);
#pragma unroll
        for (int c = 0; c < WIDTH; ++c) across.of[c] = multiply_add(v.of[c], x.weight[j], across.of[c]);
      }
#pragma unroll
      for (int c = 0; c < WIDTH; ++c) sum.of[c] = multiply_add(across.of[c], y.weight[k], sum.of[c]);
    }
    *reinterpret_cast<Channels*>(p.dst + to) = sum;
  });
}
