// The family kernels/range of the CPU; ELEMENT is the type of the result. Grid: any number of blocks of 256 threads.
#include "axes.cuh"

using Element = ELEMENT;

struct RangeCall {
  Element* out;
  Axes axes;
  int64_t start;
  int64_t step;
};

KERNEL(range_fill, kUnitThreads, 1, RangeCall) {
  map_elements<1, 16 / static_cast<int>(sizeof(Element))>(p.axes, [&]<int N>(int64_t to, const Offsets<1>&) {
    Pack<Element, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) out.lane[i] = static_cast<Element>(p.start + (to + i) * p.step);
    write_pack(p.out + to, out);
  });
}
