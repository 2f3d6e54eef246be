// What reductions of floats combine with, for ISA files and CUDA kernels. A reduction is canonical: element i goes to
// partial i mod 64, an absent element is the identity, and the 64 partials are combined by one tree, p with p + 32,
// then + 16, + 8, + 4, + 2, + 1. No length, tile, ISA or thread can change a bit.
#pragma once

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

constexpr int kPartials = 64;

struct Sum {
  static constexpr float identity = 0.0f;
  RL_INLINE V operator()(V a, V b) const { return a + b; }
};
struct Product {
  static constexpr float identity = 1.0f;
  RL_INLINE V operator()(V a, V b) const { return a * b; }
};
// NaN where an element is NaN.
struct Maximum {
  static constexpr float identity = -__builtin_inff();
  RL_INLINE V operator()(V a, V b) const { return select(is_nan(a), a, max(a, b)); }
};
struct Minimum {
  static constexpr float identity = __builtin_inff();
  RL_INLINE V operator()(V a, V b) const { return select(is_nan(a), a, min(a, b)); }
};

}  // namespace
}  // namespace rushlight
