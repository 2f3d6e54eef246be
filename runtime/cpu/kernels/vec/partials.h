// Canonical reduction over V: element i goes to partial i mod 64, an absent element is the identity, and the 64
// partials are combined by one tree, p with p + 32, then + 16, + 8, + 4, + 2, + 1. No length, tile, ISA or thread can
// change a bit.
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

template <class Op>
struct Partials {
  static constexpr int kVectors = kPartials / kWidth;
  V v[kVectors];

  RL_INLINE Partials() {
    for (V& x : v) x = set(Op::identity);
  }

  // All 64 partials in one.
  RL_INLINE float combine() const {
    const Op op;
    V t[kVectors];
    for (int i = 0; i < kVectors; ++i) t[i] = v[i];
    for (int half = kVectors / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) t[i] = op(t[i], t[i + half]);
    return fold(t[0], op);
  }
};

// Reduces value(V x) over src[0, n); elements are visited in blocks of 64 from src[0] on.
template <class Op, class Value>
RL_INLINE float reduce_row(const float* src, int64_t n, Value value) {
  Partials<Op> p;
  const Op op;
  int64_t i = 0;
  for (; i + kPartials <= n; i += kPartials)
    for (int j = 0; j < p.kVectors; ++j) p.v[j] = op(p.v[j], value(load(src + i + j * kWidth)));
  for (int j = 0; i < n; i += kWidth, ++j) {
    const int left = n - i < kWidth ? int(n - i) : kWidth;
    const V x = select(first_lanes(left), value(load_n(src + i, left)), set(Op::identity));
    p.v[j] = op(p.v[j], x);
  }
  return p.combine();
}

}  // namespace
}  // namespace rushlight
