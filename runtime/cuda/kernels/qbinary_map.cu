// The family kernels/qbinary of the CPU: OP is qadd or qmul. Grid: any number of blocks of 256 threads.
#include "axes.cuh"
#include "kernels/qbinary/functions.h"

using namespace rushlight;

struct QbinaryCall {
  const uint8_t* a;
  const uint8_t* b;
  uint8_t* out;
  Axes axes;  // of a and b
  QbinaryParams p;
};

KERNEL(qbinary_map, kUnitThreads, 1, QbinaryCall) {
  const OP function(p.p);
  const Limits limit(p.p);
  const bool a_varies = varies(p.axes, 0), b_varies = varies(p.axes, 1);
  map_elements<2, 16>(p.axes, [&]<int N>(int64_t to, const Offsets<2>& from) {
    const auto a = read_pack<N>(p.a + from.of[0], a_varies);
    const auto b = read_pack<N>(p.b + from.of[1], b_varies);
    Pack<uint8_t, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const V left = {static_cast<float>(a.lane[i])}, right = {static_cast<float>(b.lane[i])};
      out.lane[i] = static_cast<uint8_t>(limit(function(left, function.right(right))).lane);
    }
    write_pack(p.out + to, out);
  });
}
