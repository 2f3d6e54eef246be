// Rows of a tensor at places that another tensor names.
//
//   out[i][b] = x[sum_d i_d * x_stride[d] + sum_k at(i, k) * point_stride[k] + b],  0 <= i_d < dims[d], 0 <= b < row
//   at(i, k)  = index[sum_d i_d * index_stride[d] + k],                             0 <= k < depth
//
// i runs over `rank` axes, out is dense. x_stride, point_stride and row are in bytes, index_stride is in elements.
// An index counts from the end where it is negative: -point_size[k] <= at(i, k) < point_size[k]. Where one is outside
// of that, x is not read, the row becomes zeros and *fault 1. Any alignment; out overlaps nothing. Only the first
// `rank` or `depth` entries of the arrays count.
#pragma once

#include <cstdint>

namespace rushlight {

constexpr int kIndexRank = 8;

struct IndexParams {
  int64_t rank;
  int64_t dims[kIndexRank], x_stride[kIndexRank], index_stride[kIndexRank];
  int64_t depth;
  int64_t point_size[kIndexRank], point_stride[kIndexRank];
  int64_t row;
};

enum IndexOperand { kIndexX, kIndexIndex, kIndexOut, kIndexFault };

constexpr int64_t kIndexTask = 16384;  // bytes a task, roughly

// Rows that one task copies.
inline int64_t index_group(const IndexParams& p) {
  return p.row >= kIndexTask ? 1 : kIndexTask / (p.row > 0 ? p.row : 1);
}

inline int64_t index_rows(const IndexParams& p) {
  int64_t rows = 1;
  for (int64_t d = 0; d < p.rank; ++d) rows *= p.dims[d];
  return rows;
}

}  // namespace rushlight
