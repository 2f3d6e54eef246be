// Exact combinations, and what running sums add with.
#pragma once
#include "device.cuh"
#include "kernels/reduce/exact.h"

using namespace rushlight;

DEVICE float sum_of(float a, float b) { return a + b; }
template <class T>
DEVICE T sum_of(T a, T b) {
  return Sum<T>::combine(a, b);
}
