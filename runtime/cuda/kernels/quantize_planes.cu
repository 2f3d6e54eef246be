// The op quantize_planes of the CPU's family kernels/quantize, to BYTE: CHANNELS planes of an image become its pixels.
// A thread makes p.pixels of them, 4 or 1. Grid: any number of blocks of 256 threads.
#include "axes.cuh"
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
    Pack<BYTE, N> parts[CHANNELS];
#pragma unroll
    for (int i = 0; i < N * CHANNELS; ++i) {
      const int c = i % CHANNELS;
      const V v = round(quotient(V{planes[c].lane[i / CHANNELS]}, c)) + V{static_cast<float>(p.zero_point[c * p.step])};
      parts[i / N].lane[i % N] = static_cast<BYTE>(byte_in_word(v, BYTE()).lane);
    }
    BYTE* out = p.out + static_cast<int64_t>(unit) * (N * CHANNELS);
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) write_pack(out + c * N, parts[c]);
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
