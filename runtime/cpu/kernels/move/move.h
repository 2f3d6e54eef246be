// Copies between strided tensors of up to kMoveRank dimensions, elements of 8, 16, 32 or 64 bits whatever their dtype.
//
//   op "copy"                      dst[sum i_d * dst_stride[d]] = src[sum i_d * src_stride[d]],   0 <= i_d < dims[d]
//   op "pad_constant", "pad_edge", "pad_reflect"
//                                  the same with i_d replaced by m_d = i_d - begin[d] in src, which has src_dims:
//                                  where m_d is outside, the element is `value`, that of the nearest m_d inside, or
//                                  that of the mirrored -m_d or 2 * (src_dims[d] - 1) - m_d
//
// Permute, slice, flip, expand, fill and every part of a concat are copies. Strides are in elements; those of src may
// be zero or negative, those of dst must not let two elements meet. src and dst point to the element at i = 0 (of pads:
// m = 0). No alignment is needed; nothing else is read or written; src and dst do not overlap. Only the first `rank`
// entries of the arrays count. value holds the element's bits. A mirror image wider than src is its edge.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

constexpr int kMoveRank = 8;

struct MoveParams {
  int64_t rank;
  int64_t dims[kMoveRank];
  int64_t src_stride[kMoveRank];
  int64_t dst_stride[kMoveRank];
  int64_t src_dims[kMoveRank];  // of pads, as are the fields below
  int64_t begin[kMoveRank];
  int64_t value;
};

enum MoveOperand { kMoveSrc, kMoveDst };

}  // namespace rushlight
