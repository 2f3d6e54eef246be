// The ISA files' template: plain loops, which the compiler vectorizes for each.
#pragma once

#include "kernels/cast/casting.h"
#include "kernels/kernel.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

template <class From, class To, class Op>
RL_INLINE void convert(const Call& call, int64_t begin, int64_t end, Op op) {
  const auto& p = *static_cast<const CastParams*>(call.params);
  const From* x = static_cast<const From*>(call.operand[0]);
  To* out = static_cast<To*>(call.operand[1]);
  const int64_t stop = end * kCastBlock < p.n ? end * kCastBlock : p.n;
  for (int64_t i = begin * kCastBlock; i < stop; ++i) out[i] = op(x[i]);
}

}  // namespace

#define CAST(op, types, From, To)                                                         \
  void RL_ROW(op##_##types)(const Call& call, int64_t begin, int64_t end) {               \
    convert<From, To>(call, begin, end, [](From x) { return Casting<From, To>::op(x); }); \
  }
#include "kernels/cast/kernels.inc"
#undef CAST

}  // namespace rushlight
