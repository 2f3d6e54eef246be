// Depthwise 2-D convolution, NHWC: one filter a channel.
//
//   pixel(i, oy, ox, ky, kx) = src + ((i * ih + oy * sh - ph + ky * dh) * iw + ox * sw - pw + kx * dw) * src_pixel
//   sum[i][oy][ox][c] = sum over ky, kx (in this order) of pixel(...)[c] * weight[c][ky][kx]
//
//   f32      v = sum started at bias[c], one fused multiply-add a tap
//            v += residual
//   u8s8u8   v = fma(float(sum - zp * sum of weight[c]), scale[c], bias[c])
//            v = fma(float(residual), residual_scale, v)
//   u8s8f32  v of u8s8u8; its residual is f32: v += residual
//   dst      = activation(v); u8: clamped to 0...255 or narrower, rounded to nearest even
//
// Taps outside of the image read 0, or the zero point; they are multiplied like the others. The sum of a u8 type is
// exact: the format keeps kh * kw below 2^16. A u8 clamp has whole bounds in [0, 255].
//
// Images, rows and columns are dense; from a pixel to the next it is src_pixel, residual_pixel, dst_pixel elements, so
// each may be a range of channels of a wider tensor. No operand needs alignment but weight (64 bytes); nothing is read
// or written outside of the elements named above. dst overlaps no other operand. bias (f32 only) and residual are
// optional; scale belongs to the u8 types.
//
// pack: src is weights [c][1][kh][kw], f32 or s8, dense. f32: tiles of nr channels, the last padded with zeros, of
// [kh * kw][nr]. s8: see layout.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct DepthwiseParams {
  int64_t images, c;
  int64_t ih, iw, oh, ow;
  int64_t kh, kw, sh, sw, ph, pw, dh, dw;
  int64_t src_pixel, residual_pixel, dst_pixel;
  int64_t src_zero_point;
  int64_t activation;  // an Activation (vec/activation_kind.h) and its parameters; u8 destinations: none or clamp
  float alpha, beta;
  float residual_scale;
};

enum DepthwiseOperand {
  kDepthwiseSrc,
  kDepthwiseWeight,
  kDepthwiseBias,
  kDepthwiseScale,
  kDepthwiseResidual,
  kDepthwiseDst
};

}  // namespace rushlight
