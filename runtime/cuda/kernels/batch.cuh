// Batches of matrices, in two levels: what a step along each skips, in elements.
#pragma once
#include "device.cuh"

struct Batch {
  int64_t src[2];
  int64_t weight[2];  // in matrices
  int64_t bias[2];    // of bias and scale
  int64_t residual[2];
  int64_t out[2];
  int32_t inner;  // matrices of the inner level
};

// How far an operand of matrix `index` lies behind that of the first.
DEVICE int64_t skip(const Batch& batch, const int64_t (&step)[2], int index) {
  return index / batch.inner * step[0] + index % batch.inner * step[1];
}
