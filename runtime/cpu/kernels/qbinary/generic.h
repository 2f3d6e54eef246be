// The ISA files' template.
#pragma once

#include "kernels/kernel.h"
#include "kernels/qbinary/functions.h"
#include "kernels/vec/broadcast.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

struct Varying {
  const uint8_t* p;
  RL_INLINE V at(int64_t i) const { return to_float(load_u8(p + i)); }
  RL_INLINE V at(int64_t i, int n) const { return to_float(load_u8_n(p + i, n)); }
};
struct Constant {
  V v;
  RL_INLINE V at(int64_t) const { return v; }
  RL_INLINE V at(int64_t, int) const { return v; }
};

// The limits are whole numbers in [0, 255].
struct Limits {
  V high;
  VI low;
  RL_INLINE explicit Limits(const QbinaryParams& p) : high(set(p.qmax)), low(round_int(set(p.qmin))) {}
  RL_INLINE VI operator()(V v) const { return max_i(round_int(min(high, v)), low); }
};

template <class Op>
RL_INLINE void map_row(const Op& op, const Limits& limit, uint8_t* out, auto x, auto y, int64_t n) {
  const auto at = [&](int64_t i) { return limit(op(x.at(i), op.right(y.at(i)))); };
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth)
    store_four(out + i, at(i), at(i + kWidth), at(i + 2 * kWidth), at(i + 3 * kWidth));
  for (; i + kWidth <= n; i += kWidth) store_u8(out + i, at(i));
  const int left = int(n - i);
  if (left > 0) store_u8_n(out + i, limit(op(x.at(i, left), op.right(y.at(i, left)))), left);
}

// K vectors of columns, or n < kWidth columns where K is 0, of rows that share b.
template <int K, class Op>
RL_INLINE void map_columns(const Op& op, const Limits& limit, uint8_t* out, int64_t columns, const uint8_t* a,
                           int64_t a_step, const uint8_t* b, int64_t rows, int n) {
  typename Op::Right right[K > 0 ? K : 1];
  for (int k = 0; k < K; ++k) right[k] = op.right(to_float(load_u8(b + k * kWidth)));
  if constexpr (K == 0) right[0] = op.right(to_float(load_u8_n(b, n)));
  for (; rows > 0; --rows, a += a_step, out += columns) {
    const auto at = [&](int k) { return limit(op(to_float(load_u8(a + k * kWidth)), right[k])); };
    if constexpr (K == 4) store_four(out, at(0), at(1), at(2), at(3));
    if constexpr (K == 1) store_u8(out, at(0));
    if constexpr (K == 0) store_u8_n(out, limit(op(to_float(load_u8_n(a, n)), right[0])), n);
  }
}

template <class Op>
RL_INLINE void map_bytes(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const QbinaryParams*>(call.params);
  const uint8_t* a = static_cast<const uint8_t*>(call.operand[0]);
  const uint8_t* b = static_cast<const uint8_t*>(call.operand[1]);
  uint8_t* out = static_cast<uint8_t*>(call.operand[2]);
  const Op op(p);
  const Limits limit(p);
  const int64_t last = p.rank - 1;
  const bool a_varies = p.a_strides[last] != 0, b_varies = p.b_strides[last] != 0;
  const int64_t* const strides[] = {p.a_strides, p.b_strides};
  if (a_varies && b_varies && last > 0 && p.b_strides[last - 1] == 0 && p.shape[last] <= kElementwiseBlock) {
    const int64_t columns = p.shape[last], step = p.a_strides[last - 1];
    for_runs(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[2], int64_t rows) {
      const uint8_t *x = a + from[0], *y = b + from[1];
      uint8_t* o = out + to;
      int64_t c = 0;
      for (; c + 4 * kWidth <= columns; c += 4 * kWidth)
        map_columns<4>(op, limit, o + c, columns, x + c, step, y + c, rows, 0);
      for (; c + kWidth <= columns; c += kWidth) map_columns<1>(op, limit, o + c, columns, x + c, step, y + c, rows, 0);
      if (c < columns) map_columns<0>(op, limit, o + c, columns, x + c, step, y + c, rows, int(columns - c));
    });
    return;
  }
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[2], int64_t n) {
    const Varying va{a + from[0]}, vb{b + from[1]};
    if (a_varies && b_varies) return map_row(op, limit, out + to, va, vb, n);
    const Constant ca{set(float(*va.p))}, cb{set(float(*vb.p))};
    if (a_varies) return map_row(op, limit, out + to, va, cb, n);
    if (b_varies) return map_row(op, limit, out + to, ca, vb, n);
    map_row(op, limit, out + to, ca, cb, n);
  });
}

}  // namespace

#define QBINARY(op) \
  void RL_ROW(op##_u8u8u8)(const Call& call, int64_t begin, int64_t end) { map_bytes<op>(call, begin, end); }
#include "kernels/qbinary/kernels.inc"
#undef QBINARY

}  // namespace rushlight
