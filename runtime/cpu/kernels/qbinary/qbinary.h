// out[i] = f(a[broadcast of i], b[broadcast of i]) of uint8, with float32 in between:
//
//   qadd  v = fma(float(a), a_scale, fma(float(b), b_scale, offset))
//   qmul  v = fma(float((a - a_zero_point) * (b - b_zero_point)), scale, offset), the product exact
//   out = v clamped to [qmin, qmax], rounded to nearest even
//
// Shapes, strides and aliasing as in binary/binary.h. qadd ignores scale and the zero points, qmul a_scale and b_scale.
#pragma once

#include <cstdint>

namespace rushlight {

struct QbinaryParams {
  int64_t rank, shape[6], a_strides[6], b_strides[6];
  int64_t a_zero_point, b_zero_point;
  float a_scale, b_scale, scale, offset, qmin, qmax;
};

}  // namespace rushlight
