// Steps of two 16-bit numbers, zero points subtracted, for ISA files without VNNI.
#pragma once

#include "kernels/qattention/tile.h"

namespace rushlight {
namespace {

struct WordStep {
  using Number = int16_t;
  static constexpr int kDepth = 2;
  static constexpr bool kIsUnsigned = false;

#if defined(__AVX512F__)
  static RL_INLINE VI broadcast(const int16_t* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void multiply_add(VI& sum, VI a, VI b) { sum = sum + VI{_mm512_madd_epi16(a.r, b.r)}; }
#elif defined(__AVX2__)
  static RL_INLINE VI broadcast(const int16_t* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void multiply_add(VI& sum, VI a, VI b) { sum = sum + VI{_mm256_madd_epi16(a.r, b.r)}; }
#elif defined(RL_NEON)
  static RL_INLINE int16x4_t broadcast(const int16_t* p) {
    return vreinterpret_s16_s32(vdup_n_s32(*reinterpret_cast<const int32_t*>(p)));
  }
  static RL_INLINE int16x4x2_t load(const std::byte* p) { return vld2_s16(reinterpret_cast<const int16_t*>(p)); }
  static RL_INLINE void multiply_add(VI& sum, int16x4_t a, int16x4x2_t b) {
    sum.r = vmlal_lane_s16(vmlal_lane_s16(sum.r, b.val[0], a, 0), b.val[1], a, 1);
  }
#else
  static RL_INLINE const int16_t* broadcast(const int16_t* p) { return p; }
  static RL_INLINE const int16_t* load(const std::byte* p) { return reinterpret_cast<const int16_t*>(p); }
  static RL_INLINE void multiply_add(VI& sum, const int16_t* a, const int16_t* b) {
    for (int i = 0; i < kWidth; ++i) sum.lane[i] += a[0] * b[2 * i] + a[1] * b[2 * i + 1];
  }
#endif

  // n numbers, zeros after them up to a whole step; whole vectors are stored.
  static RL_INLINE VI encode_row(const uint8_t* from, int64_t n, int32_t zero_point, int16_t* to) {
    for (int64_t i = 0; i < n; i += kWidth) {
      const int count = n - i < kWidth ? int(n - i) : kWidth;
      store_numbers(to + i, select_i(first_lanes(count), load_u8_n(from + i, count) - set_i(zero_point), set_i(0)));
    }
    return set_i(0);  // no terms to make of a sum
  }
  static RL_INLINE void encode_column(const uint8_t* from, int64_t n, int32_t zero_point, std::byte* to) {
    encode_row(from, n, zero_point, reinterpret_cast<int16_t*>(to));
  }

  // A step of columns from kDepth rows: `count` bytes from each.
  static RL_INLINE VI interleave(const uint8_t* const (&rows)[kDepth], int64_t at, int count, int32_t zero_point) {
    const VI zero = set_i(zero_point);
    const VI low = load_u8_n(rows[0] + at, count) - zero, high = load_u8_n(rows[1] + at, count) - zero;
    return (low & set_i(0xFFFF)) | shift_left<16>(high);
  }

  static RL_INLINE void store_four_numbers(int16_t* to, VI a, VI b, VI c, VI d) {
    store_numbers(to, a);
    store_numbers(to + kWidth, b);
    store_numbers(to + 2 * kWidth, c);
    store_numbers(to + 3 * kWidth, d);
  }
  static RL_INLINE void store_numbers(int16_t* to, VI a) { store_low_bytes<2>(reinterpret_cast<uint8_t*>(to), a); }
};

}  // namespace
}  // namespace rushlight
