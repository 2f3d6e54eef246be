// The family kernels/where of the CPU; ELEMENT has the size of the elements. Grid: any number of blocks of 256 threads.
#include "axes.cuh"

using Element = ELEMENT;

struct WhereCall {
  const uint8_t* condition;
  const Element* a;
  const Element* b;
  Element* out;
  Axes axes;  // of condition, a and b
};

KERNEL(where_map, kUnitThreads, 1, WhereCall) {
  map_elements<3, 16 / static_cast<int>(sizeof(Element))>(p.axes, [&]<int N>(int64_t to, const Offsets<3>& from) {
    const auto condition = read_pack<N>(p.condition + from.of[0], varies(p.axes, 0));
    const auto a = read_pack<N>(p.a + from.of[1], varies(p.axes, 1));
    const auto b = read_pack<N>(p.b + from.of[2], varies(p.axes, 2));
    Pack<Element, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) out.lane[i] = condition.lane[i] != 0 ? a.lane[i] : b.lane[i];
    write_pack(p.out + to, out);
  });
}
