// Softmax and relatives over the middle axis of a dense [outer, n, inner] view of float32, m being the largest element
// along it and s the sum of exp(x - m), in 64 partial sums as vec/reduction.h says:
//
//   softmax      out = exp(x - m) * (1 / s)
//   log_softmax  out = (x - m) - log(s)
//   logsumexp    out[outer, inner] = log(s) + m; where m is infinite, m
//
// Where m is infinite (all elements -inf, or one inf) or an element is NaN, softmax and log_softmax give NaN.
// Any alignment; out may be x for softmax and log_softmax, else they do not overlap.
#pragma once

#include <cstdint>

namespace rushlight {

struct SoftmaxParams {
  int64_t outer, n, inner;
};

}  // namespace rushlight
