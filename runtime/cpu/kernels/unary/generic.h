// The ISA files' template: all of kernels.inc over V.
#pragma once

#include "kernels/kernel.h"
#include "kernels/unary/functions.h"

namespace rushlight {
namespace {

template <class Op>
RL_INLINE void map_blocks(const Call& call, int64_t begin, int64_t end, Op op) {
  const auto& p = *static_cast<const UnaryParams*>(call.params);
  const float* x = static_cast<const float*>(call.operand[0]);
  float* out = static_cast<float*>(call.operand[1]);
  const int64_t stop = end * kUnaryBlock < p.n ? end * kUnaryBlock : p.n;
  int64_t i = begin * kUnaryBlock;
  for (; i + kWidth <= stop; i += kWidth) store(out + i, op(load(x + i), p));
  if (i < stop) store_n(out + i, op(load_n(x + i, int(stop - i)), p), int(stop - i));
}

}  // namespace

#define UNARY(op, ns) \
  void RL_ROW(op##_f32f32)(const Call& call, int64_t begin, int64_t end) { map_blocks(call, begin, end, RL_UNARY(op)); }
#include "kernels/unary/kernels.inc"
#undef UNARY

}  // namespace rushlight
