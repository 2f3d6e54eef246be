// fmod of floats to the bit, denormals included.
#pragma once
#include "device.cuh"

// a modulo b by long division of mantissas, eight bits at a time.
DEVICE float exact_fmod(float a, float b) {
  constexpr uint32_t infinity = 0x7F800000, one = 0x800000;
  const uint32_t bits = static_cast<uint32_t>(float_bits(a)), sign = bits & 0x80000000, x = bits ^ sign;
  const uint32_t y = static_cast<uint32_t>(float_bits(b)) & 0x7FFFFFFF;
  if (x >= infinity || y > infinity || y == 0) return float_from_bits(0x7FC00000);
  if (x < y) return a;
  // x is mantissa_x * 2^(exponent_x - 150), y likewise.
  const int exponent_x = x < one ? 1 : static_cast<int>(x >> 23), exponent_y = y < one ? 1 : static_cast<int>(y >> 23);
  const uint32_t mantissa_x = x < one ? x : (x & (one - 1)) | one, mantissa_y = y < one ? y : (y & (one - 1)) | one;
  uint32_t rest = mantissa_x % mantissa_y;
  for (int left = exponent_x - exponent_y; left > 0; left -= 8) rest = (rest << (left < 8 ? left : 8)) % mantissa_y;
  if (rest == 0) return float_from_bits(static_cast<int32_t>(sign));
  // As a float, rest is exact; 2^(exponent_y - 150) goes to its exponent unless that ends below the normal numbers.
  const int whole = float_bits(static_cast<float>(rest));
  const bool is_normal = (whole >> 23) + exponent_y > 150;
  const int32_t magnitude =
      is_normal ? whole + (exponent_y - 150) * static_cast<int>(one) : static_cast<int32_t>(rest << (exponent_y - 1));
  return float_from_bits(static_cast<int32_t>(sign) | magnitude);
}
