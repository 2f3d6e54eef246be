// Lines of a call and the first k of each: a template over `scan`, which finds the elements that come before a limit.
#pragma once

#include "kernels/kernel.h"
#include "kernels/topk/order.h"
#include "kernels/topk/sort.h"
#include "kernels/vec/view.h"

namespace rushlight {
namespace {

template <class T>
struct Line {
  const typename Element<T>::Bits* x;
  int64_t n;
  bool descending;

  typename Element<T>::Rank rank(int64_t i) const { return rank_of<T>(x[i], descending); }
};

// Calls visit(index, rank) for the elements from index `first` on that have a lower rank than `limit`, in order; visit
// gives the limit for those behind.
struct PlainScan {
  template <class T, class Rank, class Visit>
  void operator()(const Line<T>& line, int64_t first, Rank limit, Visit visit) const {
    for (int64_t i = first; i < line.n; ++i)
      if (const Rank rank = line.rank(i); rank < limit) limit = visit(i, rank);
  }
};

// The first k entries of a line, in order; k is not 0. Either list has room for topk_room(p).
template <class Entry, class T, class Scan>
const Entry* first_entries(const Line<T>& line, const TopkParams& p, Entry* list, Entry* other, Scan scan) {
  using Rank = typename Entry::Rank;
  const int64_t k = p.k, room = topk_room(p);
  if (keeps_few(p)) {
    for (int64_t i = 0; i < k; ++i) insert(list, i, Entry(line.rank(i), i));
    scan(line, k, list[k - 1].rank(), [&](int64_t i, Rank rank) {
      insert(list, k - 1, Entry(rank, i));
      return list[k - 1].rank();
    });
    return list;
  }
  for (int64_t i = 0; i < room; ++i) list[i] = Entry(line.rank(i), i);
  const auto sort = [&](int64_t count) {
    Entry* sorted = sort_by_rank(list, other, count);
    if (sorted == list) return;
    other = list;
    list = sorted;
  };
  sort(room);
  if (room == line.n) return list;
  int64_t count = k;
  Rank limit = list[k - 1].rank();
  scan(line, room, limit, [&](int64_t i, Rank rank) {
    list[count++] = Entry(rank, i);
    if (count == room) {
      sort(count);
      count = k;
      limit = list[k - 1].rank();
    }
    return limit;
  });
  if (count > k) sort(count);
  return list;
}

// Calls each(o, i) for the lines x[o, :, i] of tasks [begin, end).
template <class Each>
void for_lines(const TopkParams& p, int64_t begin, int64_t end, Each each) {
  ReductionTasks{p.outer, p.n, p.inner}.visit(
      begin, end, [&](int64_t row) { each(row, 0); },
      [&](int64_t image, int64_t first, int64_t width) {
        for (int64_t i = first; i < first + width; ++i) each(image, i);
      });
}

// The operands at one line.
template <class T>
struct Place {
  using Bits = typename Element<T>::Bits;
  const Bits* x;
  Bits* values;
  int64_t* indices;
  int64_t stride;

  Place(const Call& call, const TopkParams& p, int64_t outer, int64_t inner)
      : x(static_cast<const Bits*>(call.operand[kTopkX]) + outer * p.n * p.inner + inner),
        values(static_cast<Bits*>(call.operand[kTopkValues]) + outer * p.k * p.inner + inner),
        indices(static_cast<int64_t*>(call.operand[kTopkIndices]) + outer * p.k * p.inner + inner),
        stride(p.inner) {}

  void store(int64_t j, int64_t index) const {
    values[j * stride] = x[index * stride];
    indices[j * stride] = index;
  }
};

template <class T, class Entry, class Scan>
void take_lines(const Call& call, int64_t begin, int64_t end, Scan scan) {
  using Bits = typename Element<T>::Bits;
  const auto& p = *static_cast<const TopkParams*>(call.params);
  const TopkScratch scratch(p, sizeof(Bits));
  Bits* gathered = reinterpret_cast<Bits*>(call.scratch);
  Entry* list = reinterpret_cast<Entry*>(call.scratch + scratch.line);
  Entry* other = reinterpret_cast<Entry*>(call.scratch + scratch.line + scratch.list);
  for_lines(p, begin, end, [&](int64_t outer, int64_t inner) {
    const Place<T> place(call, p, outer, inner);
    Line<T> line{place.x, p.n, p.descending != 0};
    if (p.inner != 1) {
      for (int64_t i = 0; i < p.n; ++i) gathered[i] = place.x[i * p.inner];
      line.x = gathered;
    }
    const Entry* first = first_entries(line, p, list, other, scan);
    for (int64_t j = 0; j < p.k; ++j) place.store(j, first[j].index());
  });
}

template <class T, class Scan>
void topk(const Call& call, int64_t begin, int64_t end, Scan scan) {
  if constexpr (sizeof(T) < 8) {
    if (is_packed(*static_cast<const TopkParams*>(call.params), sizeof(T)))
      return take_lines<T, Packed>(call, begin, end, scan);
  }
  take_lines<T, Wide>(call, begin, end, scan);
}

}  // namespace
}  // namespace rushlight
