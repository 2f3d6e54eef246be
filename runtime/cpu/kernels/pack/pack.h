// Packs matrices that are computed at run time for the gemm family.
//
//   dst[b] = the packed form (gemm/layout.h, f32) of the matrix src[b][k * src_k + n * src_n]
//
// b counts batch[0] x batch[1] matrices, batch[1] fastest. A matrix takes k * 4 bytes for each of its columns, whose
// number is rounded up to a multiple of 16, on every instruction set. Strides are in elements and may be 0 or negative;
// dst is 64-byte aligned and overlaps nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct PackParams {
  int64_t batch[2];
  int64_t n, k;
  int64_t src_batch[2], src_k, src_n;
};

enum PackOperand { kPackSrc, kPackDst, kPackOperands };

}  // namespace rushlight
