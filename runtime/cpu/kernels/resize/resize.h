// Resampling of images, NHWC, without antialiasing.
//
// Output element o of an axis lies at p(o) among its input elements, in double: with ratio = 1 / scale, or inputs /
// outputs where scale is 0,
//   half_pixel          (o + 0.5) * ratio - 0.5
//   pytorch_half_pixel  the same, but 0 where there is one output
//   align_corners       o * (inputs - 1) / (outputs - 1), or 0 where there is one output
//   asymmetric          o * ratio
// Indices of input elements are clamped to the image.
//
//   "nearest"  x8   dst[oy][ox] = src[rounded p(oy)][rounded p(ox)], c bytes a pixel, of whatever dtype
//   "linear"   f32  taps floor(p) + {0, 1}, p clamped to the image before;  weights 1 - t and t, t = p - floor(p)
//   "cubic"    f32  taps floor(p) + {-1, 0, 1, 2};  weights of the cubic convolution kernel with a = -0.75
//   dst = sum over rows k: wy[k] * (sum over columns j: wx[j] * src[y_k][x_j][c])
// Weights are rounded to float; each sum is one FMA chain from +0 in the order of its taps.
//
// All of it is dense, of any alignment; nothing else is read or written; dst does not overlap src. The image is not
// empty.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct ResizeParams {
  int64_t images, c;
  int64_t ih, iw, oh, ow;
  int64_t coordinates;  // half_pixel, pytorch_half_pixel, align_corners, asymmetric
  int64_t rounding;     // of nearest: floor, ceil, round_prefer_floor, round_prefer_ceil
  double scale_h, scale_w;
};

enum ResizeOperand { kResizeSrc, kResizeDst };

}  // namespace rushlight
