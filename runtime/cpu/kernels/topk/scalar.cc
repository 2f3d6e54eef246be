// The SCALAR rows.
#include "kernels/topk/select.h"

namespace rushlight {
namespace {

template <class T>
void topk_words(const Call& call, int64_t begin, int64_t end) {
  topk<T>(call, begin, end, PlainScan());
}

// Every rank is counted, which says where its elements go.
template <class T>
void topk_bytes(const Call& call, int64_t begin, int64_t end) {
  constexpr int kRanks = 256;
  const auto& p = *static_cast<const TopkParams*>(call.params);
  for_lines(p, begin, end, [&](int64_t outer, int64_t inner) {
    const Place<T> place(call, p, outer, inner);
    const auto rank = [&](int64_t i) { return rank_of<T>(place.x[i * p.inner], p.descending != 0); };
    int64_t next[kRanks] = {};
    for (int64_t i = 0; i < p.n; ++i) ++next[rank(i)];
    for (int64_t r = 0, sum = 0; r < kRanks; ++r) {
      const int64_t count = next[r];
      next[r] = sum;
      sum += count;
    }
    for (int64_t i = 0, left = p.k; left > 0; ++i) {
      const int64_t j = next[rank(i)]++;
      if (j >= p.k) continue;
      place.store(j, i);
      --left;
    }
  });
}

}  // namespace

#define SCALAR(types, function) \
  void topk_##types##_generic(const Call& call, int64_t begin, int64_t end) { function(call, begin, end); }
#include "kernels/topk/kernels.inc"
#undef SCALAR

}  // namespace rushlight
