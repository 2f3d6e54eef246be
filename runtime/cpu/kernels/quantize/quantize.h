// Between float32 and 8 bits, per tensor or along an axis, over a dense view of `rank` axes (1 to 6), `shape`:
//
//   quantize    out = saturate(round(x / scale) + zero_point), round to nearest even, true division; NaN gives the
//               lowest
//   quantize_planes  quantize, with x [images][channels][pixels] and out [images][pixels][channels]:
//               shape {images, pixels, channels}, 2 to 4 channels, scale_strides {0, 0, 0} or {0, 0, 1}
//   dequantize  out = (float(x) - zero_point) * scale
//   qaffine     out = saturate(round(fma(float(x), scale, zero_point)))
//   qlut        out = scale[x], `scale` being a table of 256 bytes; zero_point and strides are ignored
//
// scale and zero_point lie at sum of index[axis] * scale_strides[axis], in elements; the last of these strides is 0
// or 1. zero_point has the 8-bit dtype, qaffine's is float32. Any alignment; out does not overlap the others, but for
// qlut, where it may be x.
#pragma once

#include <cstdint>

namespace rushlight {

struct QuantizeParams {
  int64_t rank, shape[6], scale_strides[6];
};

}  // namespace rushlight
