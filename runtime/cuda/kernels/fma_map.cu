// The family kernels/fma of the CPU, WIDEST elements at a time. IS_CURVE: the activation is none that clamps. Grid: any
// number of blocks of 256 threads.
#include "axes.cuh"
#include "kernels/fma/fma.h"
#include "kernels/vec/activation.h"

using namespace rushlight;

struct FmaCall {
  const float* x;
  const float* scale;
  const float* offset;
  float* out;
  Axes axes;           // of x, scale and offset
  int64_t activation;  // an Activation and its parameters; the bounds where it clamps
  float alpha;
  float beta;
};

KERNEL(fma_map, kUnitThreads, 1, FmaCall) {
  map_elements<3, WIDEST>(p.axes, [&]<int N>(int64_t to, const Offsets<3>& from) {
    const auto x = read_pack<N>(p.x + from.of[0], varies(p.axes, 0));
    const auto scale = read_pack<N>(p.scale + from.of[1], varies(p.axes, 1));
    const auto offset = read_pack<N>(p.offset + from.of[2], varies(p.axes, 2));
    Pack<float, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const V v = fma(V{x.lane[i]}, V{scale.lane[i]}, V{offset.lane[i]});
      out.lane[i] = IS_CURVE ? apply_activation(v, Activation(p.activation), p.alpha, p.beta).lane
                             : clamp(v, V{p.alpha}, V{p.beta}).lane;
    }
    write_pack(p.out + to, out);
  });
}
