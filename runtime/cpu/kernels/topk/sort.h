// Elements as rank and index, and a stable sort of them.
#pragma once

#include <cstdint>

#include "kernels/topk/layout.h"

namespace rushlight {
namespace {

// Ranks of 32 bits, lines of no more elements than that.
class Packed {
 public:
  using Rank = uint32_t;
  Packed() = default;
  Packed(Rank rank, int64_t index) : word_(uint64_t(rank) << 32 | uint64_t(index)) {}
  Rank rank() const { return Rank(word_ >> 32); }
  int64_t index() const { return int64_t(uint32_t(word_)); }

 private:
  uint64_t word_;
};

class Wide {
 public:
  using Rank = uint64_t;
  Wide() = default;
  Wide(Rank rank, int64_t index) : rank_(rank), index_(index) {}
  Rank rank() const { return rank_; }
  int64_t index() const { return index_; }

 private:
  uint64_t rank_;
  int64_t index_;
};

// Puts an entry into a sorted list of `count`, behind those of its rank. list[count] is lost.
template <class Entry>
inline void insert(Entry* list, int64_t count, Entry entry) {
  int64_t at = count;
  for (; at > 0 && list[at - 1].rank() > entry.rank(); --at) list[at] = list[at - 1];
  list[at] = entry;
}

// Sorts n entries by rank, those of one rank as they stood: byte by byte from the lowest, but for those that are the
// same everywhere. The result is in `from` or in `to`, and returned.
template <class Entry>
Entry* sort_by_rank(Entry* from, Entry* to, int64_t n) {
  using Count = typename Entry::Rank;  // has room for any place
  constexpr int kBytes = sizeof(typename Entry::Rank), kDigits = 256;
  if (n <= kFew) {
    for (int64_t i = 1; i < n; ++i) insert(from, i, from[i]);
    return from;
  }
  Count counts[kBytes][kDigits] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int byte = 0; byte < kBytes; ++byte) ++counts[byte][from[i].rank() >> (8 * byte) & (kDigits - 1)];
  for (int byte = 0; byte < kBytes; ++byte) {
    const auto digit = [byte](Entry entry) { return int(entry.rank() >> (8 * byte) & (kDigits - 1)); };
    Count* next = counts[byte];
    if (next[digit(from[0])] == Count(n)) continue;
    Count sum = 0;
    for (int d = 0; d < kDigits; ++d) {
      const Count count = next[d];
      next[d] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; ++i) to[next[digit(from[i])]++] = from[i];
    Entry* sorted = to;
    to = from;
    from = sorted;
  }
  return from;
}

}  // namespace
}  // namespace rushlight
