// Canonical reductions over V: see vec/reduction.h.
#pragma once

#include "kernels/vec/reduction.h"

namespace rushlight {
namespace {

template <class Op>
struct Partials {
  static constexpr int kVectors = kPartials / kWidth;
  V v[kVectors];

  RL_INLINE Partials() {
    for (V& x : v) x = set(Op::identity);
  }

  // The partials in one vector, whose lanes are still to be folded.
  RL_INLINE V lanes() const {
    const Op op;
    V t[kVectors];
    for (int i = 0; i < kVectors; ++i) t[i] = v[i];
    for (int half = kVectors / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) t[i] = op(t[i], t[i + half]);
    return t[0];
  }
};

// Reduces value(V x) over src[0, n), but for the lanes (fold); elements are visited in blocks of 64 from src[0] on.
template <class Op, class Value>
RL_INLINE V reduce_lanes(const float* src, int64_t n, Value value) {
  Partials<Op> p;
  const Op op;
  int64_t i = 0;
  for (; i + kPartials <= n; i += kPartials)
    for (int j = 0; j < p.kVectors; ++j) p.v[j] = op(p.v[j], value(load(src + i + j * kWidth)));
  for (int j = 0; i < n; i += kWidth, ++j) {
    const int left = n - i < kWidth ? int(n - i) : kWidth;
    const V x = select(first_lanes(left), value(load_n(src + i, left)), set(Op::identity));
    p.v[j] = op(p.v[j], x);
  }
  return p.lanes();
}

template <class Op, class Value>
RL_INLINE float reduce_row(const float* src, int64_t n, Value value) {
  return fold(reduce_lanes<Op>(src, n, value), Op());
}

constexpr int kColumns = 64;  // that reduce_columns takes at a time

// Reduces value(V x, int64_t column) over the rows of src[n][stride] to result[column], for `columns` columns: each
// column is reduced as reduce_row would.
template <class Op, class Value>
RL_INLINE void reduce_columns(const float* src, int64_t n, int64_t stride, int64_t columns, float* result,
                              Value value) {
  const Op op;
  alignas(64) float partial[kPartials][kColumns];
  // Of the 64 partials only the first `present` have elements. The others can be left out: combining with the identity
  // keeps every value that a partial can have (0 + x is never -0).
  const int present = n < kPartials ? int(n) : kPartials;
  for (int64_t first = 0; first < columns; first += kColumns) {
    const int width = int(columns - first < kColumns ? columns - first : kColumns);
    for (int i = 0; i < (present > 0 ? present : 1); ++i)
      for (int j = 0; j < width; j += kWidth) store(partial[i] + j, set(Op::identity));
    for (int64_t row = 0; row < n; ++row) {
      const float* x = src + row * stride + first;
      float* p = partial[row % kPartials];
      int j = 0;
      for (; j + kWidth <= width; j += kWidth) store(p + j, op(load(p + j), value(load(x + j), first + j)));
      if (j < width) store(p + j, op(load(p + j), value(load_n(x + j, width - j), first + j)));
    }
    for (int half = kPartials / 2, limit = present; half > 0; limit = limit < half ? limit : half, half /= 2)
      for (int i = 0; i + half < limit; ++i)
        for (int j = 0; j < width; j += kWidth)
          store(partial[i] + j, op(load(partial[i] + j), load(partial[i + half] + j)));
    for (int j = 0; j < width; j += kWidth)
      store_n(result + first + j, load(partial[0] + j), width - j < kWidth ? width - j : kWidth);
  }
}

}  // namespace
}  // namespace rushlight
