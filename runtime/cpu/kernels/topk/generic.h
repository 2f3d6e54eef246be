// The ISA files' template: the VECTOR rows.
#pragma once

#include "kernels/topk/select.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// Signed numbers in ascending order of the elements: the ranks, less 2^31.
template <class T>
RL_INLINE VI ordered(VI x) {
  if constexpr (__is_same(T, float)) {
    const VI numbers = select_i(lt_i(x, set_i(0)), set_i(INT32_MIN) - x, x);
    return select_i(is_nan(from_bits(x)), set_i(INT32_MAX), numbers);
  } else {
    return x;
  }
}

struct VectorScan {
  template <class T, class Rank, class Visit>
  RL_INLINE void operator()(const Line<T>& line, int64_t first, Rank limit, Visit visit) const {
    constexpr int kAtOnce = 4;
    const VI turn = set_i(line.descending ? -1 : 0);
    const auto visit_at = [&](int64_t i) {
      if (const Rank rank = line.rank(i); rank < limit) limit = visit(i, rank);
    };
    int64_t i = first;
    for (; i + kAtOnce * kWidth <= line.n; i += kAtOnce * kWidth) {
      const VI bound = set_i(int32_t(uint32_t(limit) ^ uint32_t(1) << 31));
      M found[kAtOnce];
      for (int v = 0; v < kAtOnce; ++v) found[v] = lt_i(ordered<T>(load_i(line.x + i + v * kWidth)) ^ turn, bound);
      if (!any(found[0] | found[1] | found[2] | found[3])) continue;
      for (int v = 0; v < kAtOnce; ++v)
        for (uint32_t lanes = lane_bits(found[v]); lanes; lanes &= lanes - 1)
          visit_at(i + v * kWidth + __builtin_ctz(lanes));
    }
    for (; i < line.n; ++i) visit_at(i);
  }
};

}  // namespace

#define VECTOR(types, T) \
  void RL_ROW(topk_##types)(const Call& call, int64_t begin, int64_t end) { topk<T>(call, begin, end, VectorScan()); }
#include "kernels/topk/kernels.inc"
#undef VECTOR

}  // namespace rushlight
