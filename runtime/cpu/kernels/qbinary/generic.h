// The ISA files' template.
#pragma once

#include "kernels/qbinary/qbinary.h"
#include "kernels/vec/broadcast.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// The formula of one call, its parameters spread over lanes.
struct qadd {
  V a_scale, b_scale, offset;
  RL_INLINE explicit qadd(const QbinaryParams& p)
      : a_scale(set(p.a_scale)), b_scale(set(p.b_scale)), offset(set(p.offset)) {}
  RL_INLINE V operator()(V a, V b) const { return fma(a, a_scale, fma(b, b_scale, offset)); }
};
struct qmul {
  V a_zero, b_zero, scale, offset;
  RL_INLINE explicit qmul(const QbinaryParams& p)
      : a_zero(set(float(p.a_zero_point))),
        b_zero(set(float(p.b_zero_point))),
        scale(set(p.scale)),
        offset(set(p.offset)) {}
  RL_INLINE V operator()(V a, V b) const { return fma((a - a_zero) * (b - b_zero), scale, offset); }
};

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

template <class Op>
RL_INLINE void map_bytes(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const QbinaryParams*>(call.params);
  const uint8_t* a = static_cast<const uint8_t*>(call.operand[0]);
  const uint8_t* b = static_cast<const uint8_t*>(call.operand[1]);
  uint8_t* out = static_cast<uint8_t*>(call.operand[2]);
  const Op op(p);
  const V low = set(p.qmin), high = set(p.qmax);
  const auto map_row = [&](uint8_t* o, auto x, auto y, int64_t n) __attribute__((always_inline)) {
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) store_u8(o + i, round_int(min(max(op(x.at(i), y.at(i)), low), high)));
    const int left = int(n - i);
    if (left > 0) store_u8_n(o + i, round_int(min(max(op(x.at(i, left), y.at(i, left)), low), high)), left);
  };
  const bool a_varies = p.a_strides[p.rank - 1] != 0, b_varies = p.b_strides[p.rank - 1] != 0;
  const int64_t* const strides[] = {p.a_strides, p.b_strides};
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[2], int64_t n) {
    const Varying va{a + from[0]}, vb{b + from[1]};
    if (a_varies && b_varies) return map_row(out + to, va, vb, n);
    const Constant ca{set(float(*va.p))}, cb{set(float(*vb.p))};
    if (a_varies) return map_row(out + to, va, cb, n);
    if (b_varies) return map_row(out + to, ca, vb, n);
    map_row(out + to, ca, cb, n);
  });
}

}  // namespace

#define QBINARY(op) \
  void RL_ROW(op##_u8u8u8)(const Call& call, int64_t begin, int64_t end) { map_bytes<op>(call, begin, end); }
#include "kernels/qbinary/kernels.inc"
#undef QBINARY

}  // namespace rushlight
