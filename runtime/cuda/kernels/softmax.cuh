// What the kernels of the family softmax share.
#pragma once
#include "device.cuh"
#include "kernels/softmax/functions.h"

using namespace rushlight;

struct SoftmaxCall {
  const float* x;
  float* out;
  int64_t memory;  // shared memory for a whole row, in elements
  SoftmaxParams p;
};

DEVICE float exponential(float x, float most) { return exp_of_negative(set(x - most)).lane; }

// FUNCTION is one of these. `common` is the result where the function kReduces, else what all elements of a row need
// beside its largest one; `element` takes the exponential where kTakesExponentials, else x. The sign of a largest
// element that is zero changes no result, so that it may be found in any order.
struct softmax {
  static constexpr bool kTakesExponentials = true, kReduces = false;
  DEVICE static float common(float sum, float) { return 1.0f / sum; }
  DEVICE static float element(float e, float, float factor) { return e * factor; }
};
struct log_softmax {
  static constexpr bool kTakesExponentials = false, kReduces = false;
  DEVICE static float common(float sum, float) { return log_of(sum); }
  DEVICE static float element(float x, float most, float log_sum) { return (x - most) - log_sum; }
};
struct logsumexp {
  static constexpr bool kTakesExponentials = false, kReduces = true;
  DEVICE static float common(float sum, float most) { return log_sum(sum, most); }
};
