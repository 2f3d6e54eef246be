// Elementary functions over V, for ISA files only. Each is one fixed sequence of operations, so that all ISAs give the
// same bits. Errors are the largest found over dense samples of the domain, with FTZ and DAZ set: denormal arguments
// count as zero, denormal results become zero. NaN gives NaN. Coefficients are minimax (Remez exchange in 40 digits,
// rounded to float) of the form that stands at the polynomial.
#pragma once

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// c[0] + x*(c[1] + x*(...)).
template <int N>
RL_INLINE V polynomial(V x, const float (&c)[N]) {
  V r = set(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) r = fma(r, x, set(c[i]));
  return r;
}

// ln 2 in two parts, the first with nine trailing zero bits: n times it is exact for |n| < 512.
constexpr float kLn2High = 0x1.62e400p-1f, kLn2Low = 0x1.7f7d1cp-20f, kLog2E = 0x1.715476p+0f;

// 2^n for integral n in [-126, 127], given as float.
RL_INLINE V power_of_two(V n) { return from_bits(shift_left<23>(round_int(n) + set_i(127))); }

// p * 2^n for n in [-252, 254]: two factors, since 2^n alone may not be a float.
RL_INLINE V scale_by_power_of_two(V p, V n) {
  const V half = floor(n * set(0.5f));
  return p * power_of_two(half) * power_of_two(n - half);
}

// e^(x + tail) for |tail| well below |x|: 1 ulp where tail is zero.
RL_INLINE V exp_with_tail(V x, V tail) {
  // (e^r - 1 - r) / r^2 on |r| <= ln(2)/2; relative error of e^r 2^-28.3.
  constexpr float c[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558f0p-5f, 0x1.1239d4p-7f, 0x1.6a2464p-10f};
  x = min(set(89.0f), max(set(-104.0f), x));
  const V n = round(x * set(kLog2E));
  V r = fnma(n, set(kLn2High), x);
  r = fnma(n, set(kLn2Low), r) + tail;
  const V p = fma(r * r, polynomial(r, c), r) + set(1.0f);
  return scale_by_power_of_two(p, n);
}

RL_INLINE V exp(V x) { return exp_with_tail(x, zero()); }

// e^x for x <= 0, 1 ulp, zero below -87.3: cheaper than exp by a multiplication.
RL_INLINE V exp_of_negative(V x) {
  constexpr float c[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558f0p-5f, 0x1.1239d4p-7f, 0x1.6a2464p-10f};
  x = max(set(-88.0f), x);
  const V n = round(x * set(kLog2E));
  V r = fnma(n, set(kLn2High), x);
  r = fnma(n, set(kLn2Low), r);
  const V p = fma(r * r, polynomial(r, c), r) + set(1.0f);
  // n is at least -127, where the exponent bits are zero and so is the factor.
  return p * power_of_two(n);
}

// 2^x for x <= 0, 0.8 ulp, zero below -126.5. Added to the magic number, x is rounded to a whole number that stands in
// the lowest bits, biased as an exponent.
RL_INLINE V exp2_of_negative(V x) {
  // (2^r - 1) / r on |r| <= 1/2; relative error of 2^r 2^-28.3.
  constexpr float c[] = {0x1.62e430p-1f, 0x1.ebfbdcp-3f,  0x1.c6af7cp-5f,
                         0x1.3b2de0p-7f, 0x1.5f082ep-10f, 0x1.416b52p-13f};
  const V magic = set(0x1.8p+23f + 127.0f);
  x = max(set(-127.0f), x);
  const V shifted = x + magic;
  const V r = x - (shifted - magic);
  return fma(r, polynomial(r, c), set(1.0f)) * from_bits(shift_left<23>(bits(shifted)));
}

// e^x - 1 for x <= 40, 1.5 ulp.
RL_INLINE V expm1_below_40(V x) {
  // (e^r - 1 - r) / r^2 on |r| <= ln(2)/2; relative error of e^r - 1 2^-32.
  constexpr float c[] = {0.5f, 0x1.555554p-3f, 0x1.5554b2p-5f, 0x1.11118ap-7f, 0x1.6d71e4p-10f, 0x1.a032a8p-13f};
  x = min(set(40.0f), max(set(-40.0f), x));
  const V n = round(x * set(kLog2E));
  V r = fnma(n, set(kLn2High), x);
  r = fnma(n, set(kLn2Low), r);
  const V q = fma(r * r, polynomial(r, c), r);
  const V s = power_of_two(n);
  return fma(s, q, s - set(1.0f));
}

RL_INLINE V expm1(V x) { return select(lt(set(30.0f), x), exp(x), copy_sign(expm1_below_40(x), x)); }

// The natural logarithm in split form: x = 2^exponent * (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); x positive and normal.
struct SplitFloat {
  V exponent, f;
};
RL_INLINE SplitFloat split(V x) {
  const VI offset = bits(x) - set_i(0x3F3504F3);  // bits of sqrt(1/2)
  const V mantissa = from_bits((offset & set_i(0x007FFFFF)) + set_i(0x3F3504F3));
  return {to_float(shift_right<23>(offset)), mantissa - set(1.0f)};
}

// What log gives outside (0, inf), else r.
RL_INLINE V with_log_edges(V x, V r) {
  const V infinity = set(__builtin_inff());
  r = select(eq(x, infinity), infinity, r);
  r = select(eq(x, zero()), neg(infinity), r);
  return select(le(zero(), x), r, set(__builtin_nanf("")));
}

// log(1 + f) + exponent * ln 2 + tail.
RL_INLINE V log_of_split(SplitFloat x, V tail) {
  // (log(1 + f) - f + f^2/2) / f^3; relative error of log(1 + f) 2^-30.3.
  constexpr float c[] = {0x1.555548p-2f,  -0x1.000006p-2f, 0x1.99a4b6p-3f,  -0x1.555c4ep-3f, 0x1.23376ap-3f,
                         -0x1.fc220ap-4f, 0x1.e6f052p-4f,  -0x1.de3bdep-4f, 0x1.145780p-4f};
  const V square = x.f * x.f;
  V low = fma(x.f * square, polynomial(x.f, c), tail);
  low = fma(x.exponent, set(kLn2Low), low);
  low = fma(set(-0.5f), square, low);
  return fma(x.exponent, set(kLn2High), x.f + low);
}

// 1 ulp.
RL_INLINE V log(V x) { return with_log_edges(x, log_of_split(split(x), zero())); }

// log(1 + x), 1.5 ulp. What 1 + x loses in rounding comes back to first order.
RL_INLINE V log1p(V x) {
  const V u = x + set(1.0f);
  const V lost = select(lt(set(1.0f), abs(x)), set(1.0f) - (u - x), x - (u - set(1.0f)));
  const V r = with_log_edges(u, log_of_split(split(u), lost / u));
  return select(lt(abs(x), set(0x1p-24f)), x, r);
}

// 1 + e^-x; x below -88 counts as -88, above 87 as 87.
RL_INLINE V one_plus_exp_of_negated(V x) {
  constexpr float c[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558f0p-5f, 0x1.1239d4p-7f, 0x1.6a2464p-10f};
  // Added to this number, a small one is rounded to an integer, which stands in the lowest bits of the sum, biased as
  // an exponent.
  const V shift = set(0x1.8p23f + 127.0f);
  x = min(set(87.0f), max(set(-88.0f), x));
  const V shifted = fnma(x, set(kLog2E), shift), n = shifted - shift;
  V r = neg(fma(n, set(kLn2High), x));
  r = fnma(n, set(kLn2Low), r);
  const V p = fma(r * r, polynomial(r, c), r) + set(1.0f);
  return fma(p, from_bits(shift_left<23>(bits(shifted))), set(1.0f));
}

// 1 / (1 + e^-x), in [0, 1], 2.5 ulp.
RL_INLINE V sigmoid(V x) { return set(1.0f) / one_plus_exp_of_negated(x); }

// In [-1, 1], odd, 2.5 ulp.
RL_INLINE V tanh(V x) {
  const V e = expm1_below_40(min(set(20.0f), abs(x + x)));
  return copy_sign(e / (e + set(2.0f)), x);
}

// In [-1, 1], odd, 1.5 ulp.
RL_INLINE V erf(V x) {
  // erf(x) / x - 1 in x^2 for |x| <= 0.9, relative error 2^-26.3.
  constexpr float near_zero[] = {0x1.06eba6p-3f,  -0x1.8126fap-2f, 0x1.ce1dd2p-4f,
                                 -0x1.b6bee0p-6f, 0x1.4876b6p-8f,  -0x1.3f4f22p-11f};
  // log(erfc(x)) / x on [0.9, 3.95], relative error of erf 2^-28.3; erf(3.95) rounds to 1.
  constexpr float far[] = {-0x1.20e6aep+0f, -0x1.457a64p-1f, -0x1.af4142p-4f,
                           0x1.774ad4p-6f,  -0x1.a60c5ep-9f, 0x1.c209a8p-13f};
  const V a = min(set(3.95f), abs(x));
  const V small = fma(a, polynomial(a * a, near_zero), a);
  const V large = set(1.0f) - exp_of_negative(a * polynomial(a, far));
  return copy_sign(select(lt(set(0.9f), a), large, small), x);
}

// log(1 + e^x), 2 ulp.
RL_INLINE V softplus(V x) { return max(zero(), x) + log1p(exp_of_negative(neg(abs(x)))); }

}  // namespace
}  // namespace rushlight
