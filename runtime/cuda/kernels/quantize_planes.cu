// The op quantize_planes of the CPU's family kernels/quantize, to BYTE: CHANNELS planes of an image become its pixels.
// A thread makes p.pixels of them, 4 or 1. Grid: any number of blocks of 256 threads.
#include "bytes.cuh"
#include "kernels/quantize/functions.h"

using namespace rushlight;

struct PlanesCall {
  const float* x;
  const float* scale;
  const BYTE* zero_point;
  BYTE* out;
  Axes axes;     // of x: units of pixels in a plane, images
  int64_t step;  // from one channel's scale to the next
  int64_t plane;
};

namespace {

template <int N, class Quotient>
DEVICE void interleave(const PlanesCall& p, Quotient quotient) {
  for_each_unit(p.axes, [&](uint32_t unit) {
    const float* x = p.x + locate<1>(p.axes, unit).of[0];
    Pack<float, N> planes[CHANNELS];
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) planes[c] = read_pack<N>(x + c * p.plane, true);
    constexpr float kLow = BYTE(-1) < BYTE(0) ? -128.0f : 0.0f;
    BYTE* out = p.out + static_cast<int64_t>(unit) * (N * CHANNELS);
#pragma unroll
    for (int part = 0; part < CHANNELS; ++part) {
      float values[N];
#pragma unroll
      for (int i = 0; i < N; ++i) {
        const int at = part * N + i, c = at % CHANNELS;
        const V zero = {static_cast<float>(p.zero_point[c * p.step])};
        values[i] = (round(quotient(V{planes[c].lane[at / CHANNELS]}, c)) + zero).lane;
      }
      write_pack(out + part * N, narrow<BYTE>(values, kLow, kLow + 255.0f));
    }
  });
}

template <class Quotient>
DEVICE void interleave(const PlanesCall& p, Quotient quotient) {
  if (p.axes.vector == 4) return interleave<4>(p, quotient);
  interleave<1>(p, quotient);
}

}  // namespace

KERNEL(quantize_planes, kUnitThreads, 1, PlanesCall) {
  Divisor divisor[CHANNELS];
  bool is_usual = true;
#pragma unroll
  for (int c = 0; c < CHANNELS; ++c) {
    divisor[c] = Divisor(p.scale[c * p.step]);
    is_usual = is_usual && divisor[c].is_usual();
  }
  if (is_usual) return interleave(p, [&](V x, int c) { return divisor[c].divide(x); });
  interleave(p, [&](V x, int c) { return x / V{p.scale[c * p.step]}; });
}
