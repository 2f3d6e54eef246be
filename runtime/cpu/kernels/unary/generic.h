// The ISA files' template: all of kernels.inc over V.
#pragma once

#include "kernels/unary/unary.h"
#include "kernels/vec/activation.h"
#include "kernels/vec/trig.h"

namespace rushlight {
namespace {

RL_INLINE V clamp(V x, const UnaryParams& p) { return clamp(x, set(p.alpha), set(p.beta)); }
RL_INLINE V elu(V x, const UnaryParams& p) { return elu(x, set(p.alpha)); }
RL_INLINE V leaky_relu(V x, const UnaryParams& p) { return leaky_relu(x, set(p.alpha)); }
RL_INLINE V reciprocal(V x) { return set(1.0f) / x; }
RL_INLINE V rsqrt(V x) { return set(1.0f) / sqrt(x); }
RL_INLINE V sign(V x) { return select(lt(zero(), x), set(1.0f), select(lt(x, zero()), set(-1.0f), zero())); }
RL_INLINE V square(V x) { return x * x; }

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

// The function called op, here or in vec/: op(x, params) where there is one, else op(x).
#define UNARY(op, ns)                                                      \
  void RL_ROW(op##_f32f32)(const Call& call, int64_t begin, int64_t end) { \
    map_blocks(call, begin, end, [](auto x, const auto& p) {               \
      if constexpr (requires { op(x, p); })                                \
        return op(x, p);                                                   \
      else                                                                 \
        return op(x);                                                      \
    });                                                                    \
  }
#include "kernels/unary/kernels.inc"
#undef UNARY

}  // namespace rushlight
