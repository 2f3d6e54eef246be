// Pooling over windows of images, NHWC.
//
//   window(oy, ox) = rows oy * sh - ph + ky * dh and columns ox * sw - pw + kx * dw that lie within the image
//
//   "max_pool"  f32, u8   dst = the largest of the window; a NaN wins; -inf or 0 where the window is empty
//   "avg_pool"  f32       dst = (+0 plus the window's elements in (ky, kx) order) / float(count)
//   "avg_pool"  u8        v = fma(float(sum of x - src_zero_point over the window, exact), scale / float(count),
//   offset)
//                         dst = v clamped to [lo, hi], rounded to nearest even
//
// count is the window's size; with count_include_pad it is the size of the part of the window that lies within the
// image and its padding (pb rows below, pr columns at the right). Averages have dh = dw = 1 and windows that are not
// empty. A global average is one window. Images, rows and columns are dense; from a pixel to the next it is src_pixel
// or dst_pixel elements. Any alignment; nothing else is read or written; dst does not overlap src.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct PoolParams {
  int64_t images, c;
  int64_t ih, iw, oh, ow;
  int64_t kh, kw, sh, sw, ph, pw, dh, dw;
  int64_t pb, pr, count_include_pad;
  int64_t src_pixel, dst_pixel;
  int64_t src_zero_point;       // these are for avg_pool of u8
  float scale, offset, lo, hi;  // lo and hi are whole numbers
};

enum PoolOperand { kPoolSrc, kPoolDst };

}  // namespace rushlight
