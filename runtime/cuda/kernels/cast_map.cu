// The family kernels/cast of the CPU to the type TO: MAPS names the maps of a kernel, MAP(cast, float)MAP(neg, int)...,
// with the types that they read; p.map counts them. Grid: any number of blocks of 256 threads.
#include "axes.cuh"
#include "kernels/cast/casting.h"

using namespace rushlight;

namespace {

#define MAP(op, From) k_##op##_##From,
enum Map { MAPS };
#undef MAP

}  // namespace

struct CastCall {
  const void* x;
  void* out;
  Axes axes;
  int32_t map;
};

namespace {

template <class From, class Function>
DEVICE void convert(const CastCall& p, Function function) {
  constexpr int kWidest = 16 / static_cast<int>(sizeof(From) > sizeof(TO) ? sizeof(From) : sizeof(TO));
  map_elements<1, kWidest>(p.axes, [&]<int N>(int64_t to, const Offsets<1>&) {
    const auto x = read_pack<N>(static_cast<const From*>(p.x) + to, true);
    Pack<TO, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) out.lane[i] = function(x.lane[i]);
    write_pack(static_cast<TO*>(p.out) + to, out);
  });
}

}  // namespace

KERNEL(cast_map, kUnitThreads, 1, CastCall) {
#define MAP(op, From) \
  case k_##op##_##From: return convert<From>(p, [](From x) { return Casting<From, TO>::op(x); });
  switch (p.map) { MAPS }
#undef MAP
}
