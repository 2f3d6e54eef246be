// Reductions over the middle axis of a dense view: out[o, i] = reduction over k in [0, n) of x[o, k, i].
//
//   sum, mean, prod, amax, amin of float32: 64 partial results, combined as vec/reduction.h says, whatever inner is.
//                                           mean divides the sum by float(n); amax, amin give NaN where an element is
//                                           NaN.
//   sum, prod, amax, amin of integers: exact, wrapping
//   any, all of b8: any byte but zero is true
//   argmax, argmin to s64: the first index of the largest or smallest; the first NaN counts as either
//   cumsum: out[o, k, i] = sum of x[o, 0..k, i] in order of k, as large as x
//
// n of 0 gives the identity (0, 1, -inf, inf; for integers the least, the greatest; false, true), of argmax and argmin
// 0. Any alignment. Nothing overlaps, but that cumsum's out may be x.
#pragma once

#include <cstdint>

namespace rushlight {

struct ReduceParams {
  int64_t outer, n, inner;
};

}  // namespace rushlight
