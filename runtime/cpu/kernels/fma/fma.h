// out[i] = activation(fma(x[broadcast of i], scale[broadcast of i], offset[broadcast of i])), float32: what a batch
// norm that no convolution takes in comes to.
//
// Shapes and strides as in binary/binary.h, aliasing too.
#pragma once

#include <cstdint>

namespace rushlight {

struct FmaParams {
  int64_t rank, shape[6], x_strides[6], scale_strides[6], offset_strides[6];
  int64_t activation;  // an Activation (vec/activation_kind.h) and its parameters
  float alpha, beta;
};

}  // namespace rushlight
