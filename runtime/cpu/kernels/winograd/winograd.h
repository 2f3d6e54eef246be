// Convolutions with 3 x 3 kernels, stride 1 and dilation 1, by Winograd's minimal filtering F(tile x tile, 3 x 3).
//
//   sum = A^T [sum over c, in order, of (G weight[n][c] G^T) * (B^T patch[c] B)] A
//   f32               dst[i][oy][ox][n] = activation((sum + bias[n]) + residual[i][oy][ox][n])
//   u8s8u8, u8s8f32   as gemm makes them of the same sum and the same operands
//
// A patch is the (tile + 2) x (tile + 2) pixels that tile x tile results need; pixels outside of the image are 0, or
// the zero point. A result takes 2.25 (tile 4) or 4 (tile 2) multiplications a channel instead of 9. c and n are the
// channels and columns of a group: group g reads the channels from g * c on and writes the columns from g * n on.
//
// Floats: the matrices are those of polynomials at the points 0, +-3/4, +-3/2, infinity (tile 4) or 0, +-1, infinity
// (tile 2): all of A and B is exact in float. B^T along columns, then along rows; one chain of fused multiply-adds over
// c for every point of a tile; A^T along columns, then along rows. Each transform is one fixed sequence of operations
// (transform_f32.h). G in double, rounded to float once. The error is some 1.6e-7 of the largest result for tile 4,
// half of that for tile 2, as for the direct sum. Where a patch holds an infinity or a NaN, all results of its tile are
// NaN, and values beyond 1e37 may overflow.
//
// Integers: the points are 0, +-1, +-2 (tile 4 only), infinity. The rows of G are multiplied by 4, -6, -6, 24, 24, 1
// (tile 2: 1, 2, 2, 1), so that transformed patches and weights are whole numbers that fit s16. Products, sums and A^T
// are of int32 that wrap; the rows of A^T are multiplied by 24, 12, 6, 6 (tile 2: 2, 2), so that they are whole numbers
// too. What results are then multiplied by is taken out by shifts and the inverse of 9. That is exact where the direct
// sum of any bytes, before the zero point is taken off, is in [-2^25, 2^25) (tile 2: 2^29): the caller has to see to
// it, if need be by `parts`: so many parts of the channels, each ceil(c / (2 * parts)) * 2 of them or what is left, are
// summed on their own. 1 for floats.
//
// Strides are in elements; channels of src and columns of dst are adjacent. No operand needs alignment but weight (64
// bytes), nothing is read or written outside of the elements named above. dst may be residual itself, and overlaps
// nothing else. bias and residual are optional; scale belongs to the u8 types.
//
// pack: src is weight[groups][n][c][3][3], f32 or s8, dense. A group's columns, padded to 16 with zeros, are cut into
// panels (layout.h); a panel holds its transformed weights as [point][step][columns], a step being 4 bytes: one f32 or,
// of two neighbouring channels, s16. Before them, for u8 types: int32 -zp * sum of weights a column.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct WinogradParams {
  int64_t images, ih, iw, oh, ow, ph, pw;
  int64_t groups, c, n;
  int64_t tile;  // 2 or 4: results in a row of a tile
  int64_t parts;
  int64_t src_image, src_row, src_pixel;
  int64_t dst_row, residual_row;  // from pixel to pixel; images are dense
  int64_t src_zero_point;
  int64_t activation;  // an Activation (vec/activation_kind.h) and its parameters; u8 destinations: none or clamp
  float alpha, beta;
  float residual_scale;
};

enum WinogradOperand {
  kWinogradSrc,
  kWinogradWeight,
  kWinogradBias,
  kWinogradScale,
  kWinogradResidual,
  kWinogradDst,
  kWinogradOperands
};

}  // namespace rushlight
