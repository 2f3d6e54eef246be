// What the kernels of the family reduce share.
#pragma once
#include "device.cuh"
#include "kernels/reduce/reduce.h"

using namespace rushlight;

struct ReduceCall {
  const INPUT* x;
  OUTPUT* out;
  int64_t detail;  // the kernel says what
  ReduceParams p;
};
