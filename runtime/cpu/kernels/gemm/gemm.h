// Matrix products, linear layers and convolutions with packed weights and a fused epilogue.
//
//   pixel(i, oy, ox, ky, kx) = src + i * src_image + (oy * sh - ph + ky * dh) * src_row + (ox * sw - pw + kx * dw) *
//   src_pixel sum[m][n]  = sum over ky, kx, c (in this order) of pixel(m, ky, kx)[c] * weight[n][c][ky][kx]
//
//   f32f32f32         v = sum started at bias[n], one fused multiply-add a term;   v += residual[m][n]
//   f32f16f32, f32bf16f32   the same with weights of 16 bits, as if they were packed as float32
//   u8s8u8, u8s8f32   v = fma(float(sum - zp * sum of weight[n]), scale[n], bias[n]);
//                     v = fma(float(residual[m][n]), residual_scale, v) of u8, v += residual[m][n] of f32
//
// dst[m][n] = activation(v), residual has its type; u8: clamped to 0...255 or narrower, rounded to nearest even.
// m = (i * oh + oy) * ow + ox. Taps outside of the image read 0, or the zero point; they are multiplied like the
// others. A matrix of m rows is m images of one pixel: images = m, oh = ow = ih = iw = kh = kw = 1, src_image = its row
// stride. A convolution in g groups is a batch of g products: batch = {1, g}, k and n of one group, src_batch = {0, k},
// dst_batch = bias_batch = {0, n}, weight_batch = {0, 1}.
//
// Strides are in elements; channels of src and columns of dst are adjacent. No operand needs alignment but weight (64
// bytes), nothing is read or written outside of the elements named above. dst may be residual itself, and overlaps
// nothing else. bias and residual are optional; scale belongs to the u8 types.
//
// pack: src is weights matrices [n][k][kh][kw], or [k][n] if weight_is_kn (kh = kw = 1), f32, f16, bf16 or s8, dense. A
// column's weights are stored in (ky, kx, c) order as steps of 4 bytes (one f32, four s8 or two s16) or 2, those of
// every ky filled up to a whole step with zeros. The columns, padded to 16 with zeros, are cut into panels of at most
// nr columns (see layout.h): int32 -zp * sum of weights a column (u8 types; 128 - zp where the kernel reads src as s8),
// then [steps][columns][4 bytes].
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct GemmParams {
  int64_t batch[2];
  int64_t images, oh, ow;
  int64_t n, k;
  int64_t ih, iw, kh, kw, sh, sw, ph, pw, dh, dw;
  int64_t src_batch[2], src_image, src_row, src_pixel;
  int64_t dst_batch[2], dst_row;
  int64_t residual_batch[2], residual_row;
  int64_t weight_batch[2];  // in packed matrices
  int64_t bias_batch[2];    // of bias and scale
  int64_t weights;          // matrices that pack makes
  int64_t weight_is_kn;
  int64_t src_zero_point;
  int64_t activation;  // an Activation (vec/activation_kind.h) and its parameters; u8 destinations: none or clamp
  float alpha, beta;
  float residual_scale;
  // Columns of the widest panel, the same where weights are packed and where they are read, and rows of most tiles. 0:
  // as the cost model chooses; -16 and -1: as without it (choice.h). They change no result.
  int64_t panel_columns, tile_rows;
};

enum GemmOperand { kGemmSrc, kGemmWeight, kGemmBias, kGemmScale, kGemmResidual, kGemmDst, kGemmOperands };

}  // namespace rushlight
