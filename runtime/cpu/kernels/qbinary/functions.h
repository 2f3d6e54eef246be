// The formulas of qbinary.h over V, for ISA files and CUDA kernels.
#pragma once

#include "kernels/qbinary/qbinary.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// The formula of one call, its parameters spread over lanes. `Right` is what it needs of b.
struct qadd {
  V a_scale, b_scale, offset;
  using Right = V;
  RL_INLINE explicit qadd(const QbinaryParams& p)
      : a_scale(set(p.a_scale)), b_scale(set(p.b_scale)), offset(set(p.offset)) {}
  RL_INLINE Right right(V b) const { return fma(b, b_scale, offset); }
  RL_INLINE V operator()(V a, Right b) const { return fma(a, a_scale, b); }
};
struct qmul {
  V a_zero, b_zero, scale, offset;
  struct Right {
    V factor, start;
  };
  RL_INLINE explicit qmul(const QbinaryParams& p)
      : a_zero(set(float(p.a_zero_point))),
        b_zero(set(float(p.b_zero_point))),
        scale(set(p.scale)),
        offset(set(p.offset)) {}
  RL_INLINE Right right(V b) const {
    const V factor = b - b_zero;
    return {factor, neg(a_zero * factor)};
  }
  // Whole numbers below 2^24: the first of the two is exact.
  RL_INLINE V operator()(V a, Right b) const { return fma(fma(a, b.factor, b.start), scale, offset); }
};

}  // namespace
}  // namespace rushlight
