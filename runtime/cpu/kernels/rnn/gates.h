// Sigmoid and tanh as fractions, for ISA files and CUDA kernels: what multiplies them shares their division. Both are
// tanh(x) = x p(x^2) / q(x^2), minimax on |x| <= 9 with relative error 2^-25.5, all coefficients positive. And what
// cells make of the sums of their gates.
#pragma once

#include "kernels/vec/math.h"

namespace rushlight {
namespace {

struct Fraction {
  V over, under;
};

RL_INLINE V value(Fraction f) { return f.over / f.under; }
RL_INLINE V product(Fraction a, Fraction b) { return (a.over * b.over) / (a.under * b.under); }

// x within bounds; NaN stays.
RL_INLINE V clamp(V x, float bound) { return min(set(bound), max(set(-bound), x)); }

constexpr float kTanhOver[] = {0x1.000000p+0f, 0x1.120b58p-3f, 0x1.ca2e32p-9f, 0x1.59c6a2p-16f, 0x1.cae4c6p-27f};
constexpr float kTanhUnder[] = {0x1.000000p+0f, 0x1.de5af6p-2f, 0x1.a7f8c4p-6f, 0x1.588840p-12f, 0x1.a185c2p-21f};

// Relative error below 3.4e-7.
RL_INLINE Fraction tanh_fraction(V x) {
  x = clamp(x, 9.0f);
  const V square = x * x;
  return {x * polynomial(square, kTanhOver), polynomial(square, kTanhUnder)};
}

// (1 + tanh(x / 2)) / 2, absolute error below 2.2e-7. The halves are in the coefficients, which stay exact.
RL_INLINE Fraction sigmoid_fraction(V x) {
  constexpr float over[] = {kTanhOver[0] * 0x1p-2f, kTanhOver[1] * 0x1p-4f, kTanhOver[2] * 0x1p-6f,
                            kTanhOver[3] * 0x1p-8f, kTanhOver[4] * 0x1p-10f};
  constexpr float under[] = {kTanhUnder[0], kTanhUnder[1] * 0x1p-2f, kTanhUnder[2] * 0x1p-4f, kTanhUnder[3] * 0x1p-6f,
                             kTanhUnder[4] * 0x1p-8f};
  x = clamp(x, 18.0f);
  const V square = x * x;
  const V q = polynomial(square, under);
  return {fma(set(0.5f), q, x * polynomial(square, over)), q};
}

struct LstmState {
  V c, h;
};

// After a step, from the sums of the gates i, f, g, o and the c before.
RL_INLINE LstmState lstm_state(V i, V f, V g, V o, V c) {
  const V input = product(sigmoid_fraction(i), tanh_fraction(g));
  const V state = fma(value(sigmoid_fraction(f)), c, input);
  return {state, product(sigmoid_fraction(o), tanh_fraction(state))};
}

// h after a step, from its gate z, what goes into tanh, and the h before.
RL_INLINE V gru_state(V z, V inner, V h) {
  const Fraction m = tanh_fraction(inner);
  return fma(z, h, ((set(1.0f) - z) * m.over) / m.under);
}

}  // namespace
}  // namespace rushlight
