// The ISA files' template: the FLOAT rows over V.
#pragma once

#include "kernels/binary/functions.h"
#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"
#include "kernels/vec/row_operand.h"

namespace rushlight {
namespace {

RL_INLINE void put(float* p, V v) { store(p, v); }
RL_INLINE void put(uint8_t* p, M m) { store_mask(p, m); }
RL_INLINE void put_n(float* p, V v, int n) { store_n(p, v, n); }
RL_INLINE void put_n(uint8_t* p, M m, int n) { store_mask_n(p, m, n); }

template <class Result, class A, class B, class Op>
RL_INLINE void map_row(Result* out, A a, B b, int64_t n, Op op) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) put(out + i, op(a.at(i), b.at(i)));
  const int left = int(n - i);
  if (left > 0) put_n(out + i, op(a.at(i, left), b.at(i, left)), left);
}

// Rows too short for the vectors run on as one: out = op(dense[i], row[i mod columns]).
constexpr int64_t kShortRow = 64;

template <class Result, class Op>
RL_INLINE void map_short_rows(const float* dense, const float* row, Result* out, const Blocks& blocks, int64_t begin,
                              int64_t end, Op op) {
  const int64_t columns = blocks.columns, step = kWidth % columns;
  float pattern[kShortRow + kWidth];
  for (int64_t i = 0; i < columns + kWidth; ++i) pattern[i] = row[i % columns];
  const int64_t first_row = begin * blocks.group(), last_row = end * blocks.group();
  const int64_t stop = (last_row < blocks.rows ? last_row : blocks.rows) * columns;
  int64_t i = first_row * columns, phase = 0;
  for (; i + kWidth <= stop; i += kWidth) {
    put(out + i, op(load(dense + i), load(pattern + phase)));
    phase += step;
    phase -= phase >= columns ? columns : 0;
  }
  const int left = int(stop - i);
  if (left > 0) put_n(out + i, op(load_n(dense + i, left), load(pattern + phase)), left);
}

RL_INLINE bool is_dense_pair(const int64_t* strides, int64_t columns) {
  return strides[0] == columns && strides[1] == 1;
}
RL_INLINE bool is_row(const int64_t* strides) { return strides[0] == 0 && strides[1] == 1; }

template <class Result, class Op>
RL_INLINE void map_float(const Call& call, int64_t begin, int64_t end, Op op) {
  const auto& p = *static_cast<const BinaryParams*>(call.params);
  const float* a = static_cast<const float*>(call.operand[0]);
  const float* b = static_cast<const float*>(call.operand[1]);
  Result* out = static_cast<Result*>(call.operand[2]);
  const Blocks blocks(p.rank, p.shape);
  if (p.rank == 2 && blocks.columns < kShortRow) {
    if (is_dense_pair(p.a_strides, blocks.columns) && is_row(p.b_strides))
      return map_short_rows(a, b, out, blocks, begin, end, op);
    if (is_row(p.a_strides) && is_dense_pair(p.b_strides, blocks.columns))
      return map_short_rows(b, a, out, blocks, begin, end, [op](V y, V x) { return op(x, y); });
  }
  const bool a_varies = p.a_strides[p.rank - 1] != 0, b_varies = p.b_strides[p.rank - 1] != 0;
  const int64_t* const strides[] = {p.a_strides, p.b_strides};
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[2], int64_t n) {
    const Varying va{a + from[0]}, vb{b + from[1]};
    if (a_varies && b_varies) return map_row(out + to, va, vb, n, op);
    if (a_varies) return map_row(out + to, va, Constant{set(*vb.p)}, n, op);
    if (b_varies) return map_row(out + to, Constant{set(*va.p)}, vb, n, op);
    map_row(out + to, Constant{set(*va.p)}, Constant{set(*vb.p)}, n, op);
  });
}

}  // namespace

#define FLOAT(op, types, Result, ns)                                                \
  void RL_ROW(op##_##types)(const Call& call, int64_t begin, int64_t end) {         \
    map_float<Result>(call, begin, end, [](V a, V b) { return binary::op(a, b); }); \
  }
#include "kernels/binary/kernels.inc"
#undef FLOAT

}  // namespace rushlight
