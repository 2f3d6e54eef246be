// x^y over V, for ISA files only; what math.h says holds here too.
#pragma once

#include "kernels/vec/math.h"

namespace rushlight {
namespace {

// An unevaluated sum.
struct Pair {
  V high, low;
};

// log(x) to about 2^-34 relative, for positive normal x.
RL_INLINE Pair log_pair(V x) {
  // (2 atanh(s) - 2s) / s^3 in s^2 with s = f / (2 + f); relative error of atanh 2^-37.6.
  constexpr float c[] = {0x1.555554p-1f, 0x1.999a7ap-2f, 0x1.2438d8p-2f, 0x1.e2f666p-3f};
  const SplitFloat p = split(x);
  const V two = set(2.0f);
  const V denominator = two + p.f, lost = p.f - (denominator - two);
  const V s = p.f / denominator;
  const V s_low = fnma(s, lost, fnma(s, denominator, p.f)) / denominator;
  const V square = s * s;
  const V log_m = s + s;
  const V log_m_low = fma(s * square, polynomial(square, c), s_low + s_low);
  const V log_e = p.exponent * set(kLn2High);  // exact
  const V high = log_e + log_m;
  const V rounding = select(eq(log_e, zero()), zero(), log_m - (high - log_e));
  const V low = fma(p.exponent, set(kLn2Low), log_m_low) + rounding;
  const V sum = high + low;
  return {sum, low - (sum - high)};
}

// 1.5 ulp; edges as in IEEE 754's pow.
RL_INLINE V pow(V x, V y) {
  const V one = set(1.0f), infinity = set(__builtin_inff());
  const V magnitude = abs(x);
  const Pair log_x = log_pair(magnitude);
  const V product = y * log_x.high;
  const V tail = fma(y, log_x.low, fma(y, log_x.high, neg(product)));
  V r = exp_with_tail(product, select(lt(abs(product), set(200.0f)), tail, zero()));

  const M negative_y = lt(y, zero());
  r = select(eq(magnitude, one), one, r);
  r = select(eq(magnitude, zero()), select(negative_y, infinity, zero()), r);
  r = select(eq(magnitude, infinity), select(negative_y, zero(), infinity), r);
  const M is_integer = eq(y, floor(y));
  const V half = y * set(0.5f);
  const M is_odd = is_integer & !eq(half, floor(half));
  const M negative_x = lt(x, zero());
  r = select(negative_x & lt(neg(infinity), x) & !is_integer, set(__builtin_nanf("")), r);
  r = select(is_odd, copy_sign(r, x), r);
  r = select(is_nan(x) | is_nan(y), x + y, r);
  return select(eq(y, zero()) | eq(x, one), one, r);
}

}  // namespace
}  // namespace rushlight
