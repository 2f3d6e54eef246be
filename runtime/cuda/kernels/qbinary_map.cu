// The family kernels/qbinary of the CPU: OP is qadd or qmul. Grid: any number of blocks of 256 threads.
#include "bytes.cuh"
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
  const bool a_varies = varies(p.axes, 0), b_varies = varies(p.axes, 1);
  map_elements<2, 16>(p.axes, [&]<int N>(int64_t to, const Offsets<2>& from) {
    const auto a = read_pack<N>(p.a + from.of[0], a_varies);
    const auto b = read_pack<N>(p.b + from.of[1], b_varies);
    float left[N], right[N], out[N];
    widen(a, left);
    widen(b, right);
#pragma unroll
    for (int i = 0; i < N; ++i) out[i] = function(V{left[i]}, function.right(V{right[i]})).lane;
    write_pack(p.out + to, narrow<uint8_t>(out, p.p.qmin, p.p.qmax));
  });
}
