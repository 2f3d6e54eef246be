// What attention on floats computes of single scores, for ISA files and CUDA kernels.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/vec/math.h"

namespace rushlight {
namespace {

// What is subtracted from the scores of a row whose largest one is `most`.
RL_INLINE float peak_of(float most) { return most == -__builtin_inff() ? 0.0f : most; }

RL_INLINE V weight_of(V score, V peak) { return exp2_of_negative((score - peak) * set(kLog2E)); }

// What the sums of weighted values are multiplied with.
RL_INLINE float factor_of(float sum) { return 1.0f / (sum == 0.0f ? 1.0f : sum); }

}  // namespace
}  // namespace rushlight
