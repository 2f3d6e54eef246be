// The functions of kernels.inc over V that vec/ does not have, for ISA files and CUDA kernels.
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

}  // namespace

// The function called op, here or in vec/: op(x, params) where there is one, else op(x).
#define RL_UNARY(op)                           \
  [](auto x, const auto& params) {             \
    if constexpr (requires { op(x, params); }) \
      return op(x, params);                    \
    else                                       \
      return op(x);                            \
  }

}  // namespace rushlight
