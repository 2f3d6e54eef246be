// out[i] = condition[broadcast of i] ? a[broadcast of i] : b[broadcast of i] over a dense result of `rank` axes,
// `shape`.
//
// Shapes and strides as in binary/binary.h, aliasing too. The condition is bytes, true where not zero.
#pragma once

#include <cstdint>

namespace rushlight {

struct WhereParams {
  int64_t rank, shape[6], condition_strides[6], a_strides[6], b_strides[6];
};

}  // namespace rushlight
