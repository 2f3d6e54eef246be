// Activations by number, for epilogues and unary kernels; for ISA files only. NaN gives NaN.
#pragma once

#include "kernels/vec/activation_kind.h"
#include "kernels/vec/math.h"

namespace rushlight {
namespace {

RL_INLINE V relu(V x) { return max(zero(), x); }
RL_INLINE V clamp(V x, V low, V high) { return min(high, max(low, x)); }
RL_INLINE V silu(V x) { return x * sigmoid(x); }
// x/2 * (1 + erf(x / sqrt(2))), as max(0, x) - |x| * q with q = erfc(|x| / sqrt(2)) / 2: error 1.4 * 2^-24 |x|. What is
// below -10 gives 0, infinity too.
RL_INLINE V gelu(V x) {
  // (1 + log2(q)) / |x|, error of q 2^-26.9; from 7 on only small enough.
  constexpr float c[] = {-0x1.26aed4p+0f,  -0x1.d63aacp-2f,  -0x1.ae0c76p-5f, 0x1.cee886p-8f,
                         -0x1.1f2e00p-13f, -0x1.867210p-13f, 0x1.4a5218p-15f, -0x1.7c7d60p-19f};
  const V a = min(set(10.0f), abs(x));
  return fnma(a, exp2_of_negative(fma(a, polynomial(a, c), set(-1.0f))), max(zero(), x));
}
// x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))), with (1 + tanh(u)) / 2 = sigmoid(2u).
RL_INLINE V gelu_tanh(V x) {
  const V cube = set(0x1.988454p+0f * 0.044715f) * (x * x);
  return x * sigmoid(x * (cube + set(0x1.988454p+0f)));
}
RL_INLINE V hardsigmoid(V x) { return clamp(x + set(3.0f), zero(), set(6.0f)) * set(0x1.555556p-3f); }
RL_INLINE V hardswish(V x) { return x * hardsigmoid(x); }
RL_INLINE V leaky_relu(V x, V slope) { return select(lt(x, zero()), x * slope, x); }
RL_INLINE V elu(V x, V alpha) { return select(lt(x, zero()), alpha * expm1_below_40(x), x); }
// x * tanh(log(1 + e^x)) = x * n / (n + 2), n = e^x (e^x + 2); from 20 on the factor is 1.
RL_INLINE V mish(V x) {
  const V e = exp(min(set(20.0f), x));
  const V n = e * (e + set(2.0f));
  return x * (n / (n + set(2.0f)));
}

RL_INLINE V apply_activation(V x, Activation kind, float alpha, float beta) {
  switch (kind) {
    case Activation::none: return x;
    case Activation::relu: return relu(x);
    case Activation::clamp: return clamp(x, set(alpha), set(beta));
    case Activation::sigmoid: return sigmoid(x);
    case Activation::tanh: return tanh(x);
    case Activation::silu: return silu(x);
    case Activation::gelu: return gelu(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::hardsigmoid: return hardsigmoid(x);
    case Activation::hardswish: return hardswish(x);
    case Activation::leaky_relu: return leaky_relu(x, set(alpha));
    case Activation::elu: return elu(x, set(alpha));
    case Activation::mish: return mish(x);
    case Activation::softplus: return softplus(x);
  }
  __builtin_unreachable();
}

}  // namespace
}  // namespace rushlight
