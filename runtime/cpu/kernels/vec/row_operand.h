// Operands of elementwise kernels along one row of the result, for ISA files only.
#pragma once

#include <cstdint>

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// The operand's elements, or one element again and again.
struct Varying {
  const float* p;
  RL_INLINE V at(int64_t i) const { return load(p + i); }
  RL_INLINE V at(int64_t i, int n) const { return load_n(p + i, n); }
};
struct Constant {
  V v;
  RL_INLINE V at(int64_t) const { return v; }
  RL_INLINE V at(int64_t, int) const { return v; }
};

}  // namespace
}  // namespace rushlight
