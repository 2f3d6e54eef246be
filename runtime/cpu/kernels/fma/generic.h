// The ISA files' template.
#pragma once

#include "kernels/fma/fma.h"
#include "kernels/kernel.h"
#include "kernels/vec/activation.h"
#include "kernels/vec/broadcast.h"
#include "kernels/vec/row_operand.h"

namespace rushlight {
namespace {

template <class X, class Scale, class Offset>
RL_INLINE void map_row(float* out, X x, Scale scale, Offset offset, int64_t n, V low, V high) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, clamp(fma(x.at(i), scale.at(i), offset.at(i)), low, high));
  const int left = int(n - i);
  if (left > 0) store_n(out + i, clamp(fma(x.at(i, left), scale.at(i, left), offset.at(i, left)), low, high), left);
}

RL_INLINE void activate_row(const FmaParams& p, float* out, int64_t n) {
  int64_t i = 0;
  const auto kind = Activation(p.activation);
  for (; i + kWidth <= n; i += kWidth) store(out + i, apply_activation(load(out + i), kind, p.alpha, p.beta));
  const int left = int(n - i);
  if (left > 0) store_n(out + i, apply_activation(load_n(out + i, left), kind, p.alpha, p.beta), left);
}

RL_INLINE void map_fma(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const FmaParams*>(call.params);
  const float* x = static_cast<const float*>(call.operand[0]);
  const float* scale = static_cast<const float*>(call.operand[1]);
  const float* offset = static_cast<const float*>(call.operand[2]);
  float* out = static_cast<float*>(call.operand[3]);
  // Activations that clamp are bounds, and so is none; curves follow row by row.
  const auto kind = Activation(p.activation);
  const bool is_clamp = kind == Activation::clamp, is_relu = kind == Activation::relu;
  const V low = set(is_clamp ? p.alpha : is_relu ? 0.0f : -__builtin_inff());
  const V high = set(is_clamp ? p.beta : __builtin_inff());
  const bool has_curve = kind != Activation::none && !is_clamp && !is_relu;
  const int64_t* const strides[] = {p.x_strides, p.scale_strides, p.offset_strides};
  const int64_t last = p.rank - 1;
  const int varying = (p.x_strides[last] != 0) * 4 + (p.scale_strides[last] != 0) * 2 + (p.offset_strides[last] != 0);
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[3], int64_t n) {
    const Varying a{x + from[0]}, b{scale + from[1]}, c{offset + from[2]};
    const Constant a1{set(*a.p)}, b1{set(*b.p)}, c1{set(*c.p)};
    switch (varying) {
      case 0: map_row(out + to, a1, b1, c1, n, low, high); break;
      case 1: map_row(out + to, a1, b1, c, n, low, high); break;
      case 2: map_row(out + to, a1, b, c1, n, low, high); break;
      case 3: map_row(out + to, a1, b, c, n, low, high); break;
      case 4: map_row(out + to, a, b1, c1, n, low, high); break;
      case 5: map_row(out + to, a, b1, c, n, low, high); break;
      case 6: map_row(out + to, a, b, c1, n, low, high); break;
      case 7: map_row(out + to, a, b, c, n, low, high); break;
    }
    if (has_curve) activate_row(p, out + to, n);
  });
}

}  // namespace

void RL_ROW(fma_f32f32f32f32)(const Call& call, int64_t begin, int64_t end) { map_fma(call, begin, end); }

}  // namespace rushlight
