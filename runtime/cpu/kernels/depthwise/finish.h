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

// dst[c] = activation(dst[c] + residual[c]); residual may be null.
__attribute__((noinline)) void finish_pixel(const DepthwiseParams& p, float* dst, const float* residual,
                                            int64_t channels) {
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int n = channels - c < kWidth ? int(channels - c) : kWidth;
    V v = load_n(dst + c, n);
    if (residual) v = v + load_n(residual + c, n);
    store_n(dst + c, apply_activation(v, Activation(p.activation), p.alpha, p.beta), n);
  }
}

}  // namespace
}  // namespace rushlight
