// The first k elements, in descending or ascending order, of the lines along the middle axis of a dense view
// x[outer, n, inner], and where they stand there: for 0 <= j < k
//
//   values[o, j, i] = x[o, indices[o, j, i], i]
//
// Of equal elements the one of the lower index comes first, in both orders. NaN are equal, and greater than all
// numbers; zeros of both signs are equal; denormals are no zeros here, though the caller flushes them. values are the
// elements bit by bit, indices s64. 0 <= k <= n. Any alignment. Nothing overlaps.
#pragma once

#include <cstdint>

namespace rushlight {

struct TopkParams {
  int64_t outer, n, inner, k;
  int64_t descending;  // 0 or 1
};

enum TopkOperand { kTopkX, kTopkValues, kTopkIndices };

}  // namespace rushlight
