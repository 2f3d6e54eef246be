// The family kernels/unary of the CPU: out[i] = FUNCTION(x[i]). Grid: any number of blocks of 256 threads.
#include "elementwise.cuh"
#include "kernels/unary/functions.h"

using namespace rushlight;

struct UnaryCall {
  const float* x;
  float* out;
  UnaryParams p;
};

struct alignas(16) Quad {
  float lane[4];
};

KERNEL(unary, kElementThreads, 1, UnaryCall) {
  const auto function = RL_UNARY(FUNCTION);
  const bool aligned = (reinterpret_cast<uintptr_t>(p.x) | reinterpret_cast<uintptr_t>(p.out)) % 16 == 0;
  const int64_t quads = aligned ? p.p.n / 4 : 0;
  for_each_element(quads, [&](int64_t i) {
    Quad v = reinterpret_cast<const Quad*>(p.x)[i];
#pragma unroll
    for (float& lane : v.lane) lane = function(V{lane}, p.p).lane;
    reinterpret_cast<Quad*>(p.out)[i] = v;
  });
  for_each_element(p.p.n - quads * 4, [&](int64_t i) {
    const int64_t at = quads * 4 + i;
    p.out[at] = function(V{p.x[at]}, p.p).lane;
  });
}
