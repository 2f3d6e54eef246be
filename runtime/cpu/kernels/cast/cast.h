// Elementwise maps from one dtype to another: out[i] = f(x[i]) for i in [0, n).
//
//   cast         the value in the other dtype. Float to integer truncates towards zero and saturates, NaN becomes 0;
//                a narrower integer takes the low bits. To b8: 1 where the value is not zero (NaN is not). From b8: 0
//                or 1.
//                bf16, the upper half of a float32, is only read. To f16: to nearest even.
//   logical_not  1 where x is zero, else 0
//   neg, abs     of integers; the least one stays as it is
//
// x and out are dense, of any alignment; out may be x where dtypes are equally long, else they do not overlap.
#pragma once

#include <cstdint>

namespace rushlight {

struct CastParams {
  int64_t n;
};

constexpr int64_t kCastBlock = 8192;  // elements a task

}  // namespace rushlight
