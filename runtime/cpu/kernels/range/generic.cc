#include "kernels/kernel.h"
#include "kernels/range/range.h"

namespace rushlight {
namespace {

template <class T>
void fill(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const RangeParams*>(call.params);
  T* out = static_cast<T*>(call.operand[0]);
  const int64_t stop = end * kRangeBlock < p.n ? end * kRangeBlock : p.n;
  for (int64_t i = begin * kRangeBlock; i < stop; ++i) out[i] = T(p.start + i * p.step);
}

}  // namespace

#define RANGE(types, T) \
  void range_##types##_generic(const Call& call, int64_t begin, int64_t end) { fill<T>(call, begin, end); }
#include "kernels/range/kernels.inc"
#undef RANGE

}  // namespace rushlight
