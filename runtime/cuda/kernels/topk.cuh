// What the kernels of the family topk share: lines are cut into tiles, a block sorts a tile, runs of sorted tiles are
// merged two by two.
#pragma once
#include "device.cuh"
#include "kernels/topk/order.h"
#include "kernels/topk/topk.h"

using namespace rushlight;

using Bits = Element<TYPE>::Bits;

// An element's rank, then its index in the line: no two are alike, and none is as high as `last`.
class NarrowEntry {
 public:
  NarrowEntry() = default;
  DEVICE NarrowEntry(uint32_t rank, int64_t index) : word_(static_cast<uint64_t>(rank) << 32 | index) {}
  DEVICE static NarrowEntry last() { return NarrowEntry(~uint32_t{0}, ~uint32_t{0}); }
  DEVICE int64_t index() const { return static_cast<uint32_t>(word_); }
  DEVICE bool operator<(NarrowEntry other) const { return word_ < other.word_; }

 private:
  uint64_t word_;
};

class alignas(16) WideEntry {
 public:
  WideEntry() = default;
  DEVICE WideEntry(uint64_t rank, uint64_t index) : rank_(rank), index_(index) {}
  DEVICE static WideEntry last() { return WideEntry(~uint64_t{0}, ~uint64_t{0}); }
  DEVICE int64_t index() const { return static_cast<int64_t>(index_); }
  DEVICE bool operator<(WideEntry other) const {
    return rank_ < other.rank_ || (rank_ == other.rank_ && index_ < other.index_);
  }

 private:
  uint64_t rank_, index_;
};

template <bool IsWide>
struct EntryOf {
  using Type = NarrowEntry;
};
template <>
struct EntryOf<true> {
  using Type = WideEntry;
};
using Entry = EntryOf<sizeof(Bits) == 8>::Type;

// Of a line there are `tiles` tiles of `tile` elements, the last one perhaps shorter. A tile has room for `pitch`
// entries in `from` and `to`, no fewer than its first k; runs of `span` tiles, each sorted, begin where the first of
// their tiles does.
struct TopkCall {
  const Bits* x;
  Bits* values;
  int64_t* indices;
  const Entry* from;
  Entry* to;
  int64_t tile, tiles, pitch, span;
  TopkParams p;
};

// Line number `line` of x, or of the results, which have `length` elements a line: where its first element is.
DEVICE int64_t line_start(const TopkParams& p, int64_t line, int64_t length) {
  const int64_t outer = p.inner == 1 ? line : line / p.inner;
  return outer * length * p.inner + (line - outer * p.inner);
}

// The result at place j of a line.
DEVICE void store_result(const TopkCall& p, int64_t line, int64_t j, int64_t index) {
  const int64_t to = line_start(p.p, line, p.p.k) + j * p.p.inner;
  p.values[to] = p.x[line_start(p.p, line, p.p.n) + index * p.p.inner];
  p.indices[to] = index;
}
