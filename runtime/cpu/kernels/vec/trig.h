// sin, cos and atan over V, for ISA files only; what math.h says holds here too. sin and cos of inf are NaN.
#pragma once

#include "kernels/vec/math.h"

namespace rushlight {
namespace {

// x = quadrant * pi/2 + angle, |angle| <= pi/4 and a little; quadrant modulo 4 is what counts.
struct Reduced {
  V angle;
  VI quadrant;
};

// One |x| >= 2^-6 by the method of Payne and Hanek: x = m * 2^e, and only 96 bits of 2/pi, two of them before the
// binary point, can reach the quadrant and the fraction of m * 2^e * 2/pi.
__attribute__((noinline, cold)) void reduce_large(float x, float* angle, int32_t* quadrant) {
  constexpr uint32_t two_over_pi[] = {0,          0xA2F9836E, 0x4E441529, 0xFC2757D1,
                                      0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB};
  uint32_t pattern;
  __builtin_memcpy(&pattern, &x, sizeof pattern);
  const int exponent = int(pattern >> 23 & 0xFF);
  if (exponent == 0xFF) {
    *angle = __builtin_nanf("");
    *quadrant = 0;
    return;
  }
  using Wide = unsigned __int128;
  const uint32_t m = (pattern & 0x7FFFFF) | 0x800000;
  const int start = exponent - 150 + 30;  // first of the 96 bits, counted with the leading zero word
  const uint32_t* word = two_over_pi + start / 32;
  const Wide window = (Wide(word[0]) << 96 | Wide(word[1]) << 64 | Wide(word[2]) << 32 | word[3]) << start % 32 >> 32;
  const Wide product = window * m << 32;  // quarter turns: two bits, then the fraction
  const uint64_t top = uint64_t(product >> 64);
  const int64_t fraction = int64_t(uint64_t(product >> 62));  // of a quarter turn in 2^-64, from -1/2 to 1/2
  *quadrant = int32_t(top >> 62) + (fraction < 0);
  *angle = float(double(fraction) * (0x1.921fb54442d18p+0 * 0x1p-64));
  if (pattern >> 31) {
    *angle = -*angle;
    *quadrant = -*quadrant;
  }
}

// Cody and Waite in three parts of pi/2 where |x| <= 4096, else lane by lane.
RL_INLINE Reduced reduce_angle(V x) {
  const V n = round(x * set(0x1.45f306p-1f));
  V r = fnma(n, set(0x1.921fb6p+0f), x);
  r = fnma(n, set(-0x1.777a5cp-25f), r);
  r = fnma(n, set(-0x1.ee59dap-50f), r);
  Reduced result = {r, round_int(n)};
  const M large = !le(abs(x), set(4096.0f));
  if (__builtin_expect(any(large), 0)) {
    float lanes[kWidth], angle[kWidth];
    int32_t quadrant[kWidth];
    store(lanes, select(large, x, set(1.0f)));
    for (int i = 0; i < kWidth; ++i) reduce_large(lanes[i], &angle[i], &quadrant[i]);
    result.angle = select(large, load(angle), result.angle);
    result.quadrant = select_i(large, load_i(quadrant), result.quadrant);
  }
  return result;
}

RL_INLINE V sin_of_reduced(Reduced x) {
  // (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 in r^2 for |r| <= pi/4; relative errors 2^-28 and 2^-33.
  constexpr float odd[] = {-0x1.555546p-3f, 0x1.11073ap-7f, -0x1.9943e0p-13f};
  constexpr float even[] = {0x1.55554ap-5f, -0x1.6c0c34p-10f, 0x1.99eb9ep-16f};
  const V r = x.angle, square = r * r;
  const V sine = fma(r * square, polynomial(square, odd), r);
  const V cosine = fma(square * square, polynomial(square, even), fma(set(-0.5f), square, set(1.0f)));
  const V value = select(eq_i(x.quadrant & set_i(1), set_i(0)), sine, cosine);
  return from_bits(bits(value) ^ shift_left<30>(x.quadrant & set_i(2)));
}

// In [-1, 1], 1.6 ulp.
RL_INLINE V sin(V x) { return sin_of_reduced(reduce_angle(x)); }

// In [-1, 1], 1.6 ulp.
RL_INLINE V cos(V x) {
  const Reduced r = reduce_angle(x);
  return sin_of_reduced({r.angle, r.quadrant + set_i(1)});
}

// In [-pi/2, pi/2] rounded to float, odd, 1.4 ulp. atan(x) = pi/2 + atan(-1 / x) for x > 1.
RL_INLINE V atan(V x) {
  // (atan(t) - t) / t^3 in t^2 for |t| <= 1; relative error of atan 2^-28.2.
  constexpr float c[] = {-0x1.55553ep-2f, 0x1.9991e4p-3f,  -0x1.242086p-3f, 0x1.c08c50p-4f,  -0x1.580930p-4f,
                         0x1.da2a88p-5f,  -0x1.fd7e7cp-6f, 0x1.642278p-7f,  -0x1.d34b74p-10f};
  const V a = abs(x);
  const M large = lt(set(1.0f), a);
  const V t = select(large, set(-1.0f), a) / select(large, a, set(1.0f));
  const V square = t * t;
  const V r = fma(t * square, polynomial(square, c), t);
  const V turned = set(0x1.921fb6p+0f) + (r + set(-0x1.777a5cp-25f));
  return copy_sign(select(large, turned, r), x);
}

}  // namespace
}  // namespace rushlight
