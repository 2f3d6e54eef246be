// The op copy of the CPU's family kernels/move, in bytes: a thread copies words of axes.vector bytes, whatever the
// elements. Grid: any number of blocks of 256 threads.
#include "axes.cuh"

struct CopyCall {
  const uint8_t* src;
  uint8_t* dst;
  Axes axes;  // of src and dst
};

namespace {

constexpr int kInFlight = 4;  // words of a thread

template <class Word>
DEVICE void copy(const CopyCall& p) {
  constexpr int kBytes = sizeof(Word);
  const uint32_t step = gridDim.x * kUnitThreads, first = blockIdx.x * kUnitThreads + threadIdx.x;
  const int rest = static_cast<int>(p.axes.elements % kBytes);  // of a single axis
  const uint32_t words = p.axes.units - (rest > 0);
  for (uint32_t unit = first; unit < words; unit += kInFlight * step) {
    Word word[kInFlight];
    int64_t to[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (unit + i * step >= words) continue;
      const auto at = locate<2>(p.axes, unit + i * step);
      word[i] = *reinterpret_cast<const Word*>(p.src + at.of[0]);
      to[i] = at.of[1];
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (unit + i * step < words) *reinterpret_cast<Word*>(p.dst + to[i]) = word[i];
    }
  }
  if (first < static_cast<uint32_t>(rest)) {
    const int64_t at = p.axes.elements - rest + first;
    p.dst[at] = p.src[at];
  }
}

}  // namespace

KERNEL(move_copy, kUnitThreads, 1, CopyCall) {
  switch (p.axes.vector) {
    case 16: return copy<Pack<uint32_t, 4>>(p);
    case 8: return copy<uint64_t>(p);
    case 4: return copy<uint32_t>(p);
    case 2: return copy<uint16_t>(p);
    default: return copy<uint8_t>(p);
  }
}
