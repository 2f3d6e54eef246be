// What the kernels of the family norm share.
#pragma once
#include "device.cuh"
#include "kernels/norm/functions.h"

using namespace rushlight;

struct NormCall {
  const float* x;
  const float* weight;
  const float* bias;
  float* out;
  int64_t memory;  // shared memory for a whole row, in elements
  NormParams p;
};

// (x - mean) * factor, then * weight + bias in one fma. A product with an absent bias, -0, and what an absent weight,
// 1, is multiplied with, keep their bits.
DEVICE float scaled(float x, float mean, float factor, float weight, float bias) {
  return multiply_add((x - mean) * factor, weight, bias);
}
DEVICE float weight_of(const float* weight, int64_t i) { return weight ? weight[i] : 1.0f; }
DEVICE float bias_of(const float* bias, int64_t i) { return bias ? bias[i] : -0.0f; }
