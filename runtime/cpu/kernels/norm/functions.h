// What the family computes of single numbers, for ISA files and CUDA kernels.
#pragma once

#include "kernels/norm/norm.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

RL_INLINE float reciprocal_root(float power, float eps) { return 1.0f / __builtin_sqrtf(power + eps); }

}  // namespace
}  // namespace rushlight
