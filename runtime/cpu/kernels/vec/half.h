// 16-bit floats, one at a time, by whole numbers and exactly rounded sums: the bits of the conversion instructions but
// for the payload of a NaN. Loops over them vectorize.
#pragma once

#include <cstdint>

namespace rushlight {
namespace {

inline __attribute__((always_inline)) float float_of(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

inline __attribute__((always_inline)) uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

constexpr uint32_t kHalfBias = (127 - 15) << 23;  // what the exponents differ by

// IEEE binary16. A denormal is a fraction of 2^-14: the sum of both less 2^-14 is exact, and normal.
inline __attribute__((always_inline)) float widen_f16(uint16_t half) {
  constexpr uint32_t least = kHalfBias + (1 << 23);  // 2^-14
  const uint32_t sign = uint32_t(half & 0x8000) << 16, rest = uint32_t(half & 0x7FFF) << 13;
  const uint32_t exponent = half & 0x7C00;
  const uint32_t denormal = bits_of(float_of(rest | least) - float_of(least));
  const uint32_t normal = rest + (exponent == 0x7C00 ? 2 * kHalfBias : kHalfBias);
  return float_of(sign | (exponent == 0 ? denormal : normal));
}

// bfloat16: the upper half of a float32.
inline __attribute__((always_inline)) float widen_bf16(uint16_t half) { return float_of(uint32_t(half) << 16); }

// To nearest even; beyond 65504, rounded, infinite. What is a denormal half is rounded by a sum with 0.5, whose last
// bit is 2^-24.
inline __attribute__((always_inline)) uint16_t narrow_f16(float x) {
  constexpr uint32_t infinity = 0x7F800000, beyond = 143u << 23, least = kHalfBias + (1 << 23);
  const uint32_t bits = bits_of(x), rest = bits & 0x7FFFFFFF;
  const uint32_t normal = (rest - kHalfBias + 0xFFF + ((rest >> 13) & 1)) >> 13;
  const uint32_t denormal = bits_of(float_of(rest) + 0.5f) - bits_of(0.5f);
  const uint32_t special = rest > infinity ? 0x7E00 : 0x7C00;
  const uint32_t half = rest >= beyond ? special : rest < least ? denormal : normal;
  return uint16_t((bits >> 16 & 0x8000) | half);
}

}  // namespace
}  // namespace rushlight
