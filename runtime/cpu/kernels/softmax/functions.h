// What the family computes of single numbers, for ISA files and CUDA kernels.
#pragma once

#include "kernels/softmax/softmax.h"
#include "kernels/vec/math.h"

namespace rushlight {
namespace {

RL_INLINE float log_of(float x) { return first(log(set(x))); }
RL_INLINE bool is_infinite(float x) { return x - x != 0.0f && x == x; }
// log(s) + m, for the largest element m.
RL_INLINE float log_sum(float s, float m) { return is_infinite(m) ? m : log_of(s) + m; }

}  // namespace
}  // namespace rushlight
