// Loops of kernels whose threads compute single elements.
#pragma once
#include "device.cuh"

constexpr int kElementThreads = 256;

// Calls visit(i) for every i in [0, n): neighbouring threads have neighbouring elements.
template <class Visit>
DEVICE void for_each_element(int64_t n, Visit visit) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kElementThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x; i < n; i += step) visit(i);
}
