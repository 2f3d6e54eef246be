// The family kernels/index of the CPU, in bytes: a thread copies a word of axes.vector bytes of a row. INDEX is the
// type of the indices. Grid: any number of blocks of 256 threads.
#include "axes.cuh"

using Index = INDEX;

struct GatherCall {
  const uint8_t* x;
  const Index* index;
  uint8_t* out;
  int64_t* fault;
  Axes axes;              // of x and index
  int64_t point_size[8];  // of each number of an index
  int64_t point_stride[8];
  int64_t depth;
};

namespace {

template <class Word>
DEVICE void gather(const GatherCall& p) {
  for_each_unit(p.axes, [&](uint32_t unit) {
    const auto at = locate<2>(p.axes, unit);
    const Index* index = p.index + at.of[1];
    int64_t from = at.of[0];
    bool is_inside = true;
#pragma unroll 1
    for (int k = 0; k < p.depth; ++k) {
      const int64_t named = index[k], place = named < 0 ? named + p.point_size[k] : named;
      is_inside = is_inside && place >= 0 && place < p.point_size[k];
      from += is_inside ? place * p.point_stride[k] : 0;
    }
    Word word = {};
    if (is_inside) {
      word = *reinterpret_cast<const Word*>(p.x + from);
    } else {
      *p.fault = 1;
    }
    reinterpret_cast<Word*>(p.out)[unit] = word;
  });
}

}  // namespace

KERNEL(index_gather, kUnitThreads, 1, GatherCall) {
  switch (p.axes.vector) {
    case 16: return gather<Pack<uint32_t, 4>>(p);
    case 8: return gather<uint64_t>(p);
    case 4: return gather<uint32_t>(p);
    case 2: return gather<uint16_t>(p);
    default: return gather<uint8_t>(p);
  }
}
