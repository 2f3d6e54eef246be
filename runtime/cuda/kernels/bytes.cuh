// Packs of bytes and their values as floats, by additions, which are faster than conversions: the last bits of
// 2^23 + n and of 1.5 * 2^23 + n are those of n.
#pragma once
#include "axes.cuh"

template <class Byte, int N>
DEVICE void widen(const Pack<Byte, N>& pack, float (&values)[N]) {
  constexpr bool kIsSigned = Byte(-1) < Byte(0);
  constexpr float kOffset = kIsSigned ? 0x1p23f + 128.0f : 0x1p23f;
  const auto value = [](uint32_t word, uint32_t byte) {
    const uint32_t flipped = kIsSigned ? word ^ 0x80808080 : word;
    const uint32_t bits = select_bytes(flipped, 0x4B000000, 0x7440 | byte);
    return float_from_bits(static_cast<int32_t>(bits)) - kOffset;
  };
  if constexpr (N % 4 == 0) {
    const auto words = __builtin_bit_cast(Pack<uint32_t, N / 4>, pack);
#pragma unroll
    for (uint32_t i = 0; i < N; ++i) values[i] = value(words.lane[i / 4], i % 4);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = value(static_cast<uint8_t>(pack.lane[i]), 0);
  }
}

// To the nearest in [low, high], both whole; NaN gives low.
template <class Byte, int N>
DEVICE Pack<Byte, N> narrow(const float (&values)[N], float low, float high) {
  const auto bits = [&](int i) {
    return static_cast<uint32_t>(float_bits(minimum(maximum(values[i], low), high) + 0x1.8p23f));
  };
  if constexpr (N % 4 == 0) {
    Pack<uint32_t, N / 4> words;
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      const uint32_t first = select_bytes(bits(i), bits(i + 1), 0x0040);
      words.lane[i / 4] = select_bytes(first, select_bytes(bits(i + 2), bits(i + 3), 0x0040), 0x5410);
    }
    return __builtin_bit_cast(Pack<Byte, N>, words);
  } else {
    Pack<Byte, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) pack.lane[i] = static_cast<Byte>(bits(i));
    return pack;
  }
}
