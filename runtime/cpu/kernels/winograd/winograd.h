// Convolutions with 3 x 3 kernels, stride 1 and dilation 1, by Winograd's minimal filtering F(tile x tile, 3 x 3).
//
//   dst[i][oy][ox][n] = activation(sum + bias[n] + residual[i][oy][ox][n]), the additions in this order
//   sum = A^T [sum over c, in order, of (G weight[n][c] G^T) * (B^T patch[c] B)] A
//
// A patch is the (tile + 2) x (tile + 2) pixels that tile x tile results need; pixels outside of the image are 0. The
// matrices are those of polynomials at the points 0, +-3/4, +-3/2, infinity (tile 4) or 0, +-1, infinity (tile 2): all
// of A and B is exact in float. A result takes 2.25 (tile 4) or 4 (tile 2) multiplications a channel instead of 9.
//
// Arithmetic: B^T along columns, then along rows; one chain of fused multiply-adds over c for every point of a tile;
// A^T along columns, then along rows. Each transform is one fixed sequence of operations (transform.h). G in double,
// rounded to float once. The error is some 1.6e-7 of the largest result for tile 4, half of that for tile 2, as for the
// direct sum. Where a patch holds an infinity or a NaN, all results of its tile are NaN, and values beyond 1e37
// may overflow.
//
// Strides are in elements; channels of src and columns of dst are adjacent. No operand needs alignment but weight (64
// bytes), nothing is read or written outside of the elements named above. dst may be residual itself, and overlaps
// nothing else. bias and residual are optional.
//
// pack: src is weight[n][c][3][3], f32, dense. The columns, padded to 16 with zeros, are cut into panels (layout.h);
// a panel holds its transformed weights as [point][c][columns].
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct WinogradParams {
  int64_t images, ih, iw, oh, ow, ph, pw;
  int64_t c, n;
  int64_t tile;  // 2 or 4: results in a row of a tile
  int64_t src_image, src_row, src_pixel;
  int64_t dst_row, residual_row;  // from pixel to pixel; images are dense
  int64_t activation;             // an Activation (vec/activation_kind.h) and its parameters
  float alpha, beta;
};

enum WinogradOperand {
  kWinogradSrc,
  kWinogradWeight,
  kWinogradBias,
  kWinogradResidual,
  kWinogradDst,
  kWinogradOperands
};

}  // namespace rushlight
