// The functions of the FLOAT rows over V, for ISA files and CUDA kernels.
#pragma once

#include "kernels/binary/binary.h"
#include "kernels/vec/pow.h"

namespace rushlight {
namespace {

namespace binary {

RL_INLINE V add(V a, V b) { return a + b; }
RL_INLINE V sub(V a, V b) { return a - b; }
RL_INLINE V mul(V a, V b) { return a * b; }
RL_INLINE V div(V a, V b) { return a / b; }
RL_INLINE V pow(V a, V b) { return rushlight::pow(a, b); }
RL_INLINE V maximum(V a, V b) { return select(is_nan(a), a, max(a, b)); }
RL_INLINE V minimum(V a, V b) { return select(is_nan(a), a, min(a, b)); }
RL_INLINE V prelu(V x, V weight) { return select(rushlight::le(zero(), x), x, x * weight); }
RL_INLINE M eq(V a, V b) { return rushlight::eq(a, b); }
RL_INLINE M ne(V a, V b) { return !rushlight::eq(a, b); }
RL_INLINE M lt(V a, V b) { return rushlight::lt(a, b); }
RL_INLINE M le(V a, V b) { return rushlight::le(a, b); }
RL_INLINE M gt(V a, V b) { return rushlight::lt(b, a); }
RL_INLINE M ge(V a, V b) { return rushlight::le(b, a); }

}  // namespace binary

}  // namespace
}  // namespace rushlight
