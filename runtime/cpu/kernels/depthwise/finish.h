// What an f32 destination still needs once its sums are stored; for ISA files.
#pragma once

#include "kernels/depthwise/depthwise.h"
#include "kernels/vec/activation.h"

namespace rushlight {
namespace {

// Clamping activations are cheap enough for registers: they come down to these bounds, all others to none.
struct Bounds {
  float lo, hi;
};
inline Bounds activation_bounds(const DepthwiseParams& p) {
  if (Activation(p.activation) == Activation::relu) return {0.0f, __builtin_inff()};
  if (Activation(p.activation) == Activation::clamp) return {p.alpha, p.beta};
  return {-__builtin_inff(), __builtin_inff()};
}
inline bool has_curve(const DepthwiseParams& p) {
  const auto kind = Activation(p.activation);
  return kind != Activation::none && kind != Activation::relu && kind != Activation::clamp;
}

// The bounds of a u8 destination.
inline Bounds byte_bounds(const DepthwiseParams& p) {
  if (Activation(p.activation) == Activation::clamp) return {p.alpha, p.beta};
  return {0.0f, 255.0f};
}

template <class Activate>
RL_INLINE void finish_with(float* dst, const float* residual, int64_t channels, Activate activate) {
  const auto at = [=](int64_t c, auto load_x) __attribute__((always_inline)) {
    const V v = load_x(dst + c);
    return activate(residual ? v + load_x(residual + c) : v);
  };
  int64_t c = 0;
  for (; c + kWidth <= channels; c += kWidth) store(dst + c, at(c, [](const float* x) { return load(x); }));
  const int n = int(channels - c);
  if (n) store_n(dst + c, at(c, [n](const float* x) { return load_n(x, n); }), n);
}

// dst[c] = activation(dst[c] + residual[c]); residual may be null.
__attribute__((noinline)) void finish_pixel(const DepthwiseParams& p, float* dst, const float* residual,
                                            int64_t channels) {
  const auto kind = Activation(p.activation);
  if (kind == Activation::silu) return finish_with(dst, residual, channels, [](V v) { return silu(v); });
  if (kind == Activation::hardswish) return finish_with(dst, residual, channels, [](V v) { return hardswish(v); });
  finish_with(dst, residual, channels, [&](V v) { return apply_activation(v, kind, p.alpha, p.beta); });
}

}  // namespace
}  // namespace rushlight
