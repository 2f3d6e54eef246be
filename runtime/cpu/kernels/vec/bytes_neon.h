// 16 bytes; for ISA files. Interleaving and packing undo each other.
#pragma once

#include <cstddef>

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

struct BytesNeon {
  using Int = int32x4_t;
  using Float = float32x4_t;
  static constexpr int kTile = 16, kPixels = 7;
  static constexpr bool kHasMasks = false;
#if defined(__ARM_FEATURE_DOTPROD)
  static constexpr int kParts = 1;
  // s8, 128 less than the u8: the packed sums make up for it.
  using Spread = int8x16_t;
  static RL_INLINE Spread spread(Int x) {
    return vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_s32(x), vdupq_n_u8(0x80)));
  }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) {
    return vdotq_s32(sum, x, vreinterpretq_s8_s32(load(w)));
  }
#else
  static constexpr int kParts = 2;
  struct Spread {
    int16x8_t even, odd;
  };
  static RL_INLINE Spread spread(Int x) {
    const uint16x8_t words = vreinterpretq_u16_s32(x);
    return {vreinterpretq_s16_u16(vandq_u16(words, vdupq_n_u16(255))), vreinterpretq_s16_u16(vshrq_n_u16(words, 8))};
  }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) {
    sum = add_pair_products(sum, x.even, vreinterpretq_s16_s32(load(w)));
    return add_pair_products(sum, x.odd, vreinterpretq_s16_s32(load(w + kTile)));
  }
#endif

  static RL_INLINE uint8x16_t bytes(Int a) { return vreinterpretq_u8_s32(a); }
  static RL_INLINE Int from(uint8x16_t a) { return vreinterpretq_s32_u8(a); }
  static RL_INLINE Int zero() { return vdupq_n_s32(0); }
  static RL_INLINE Int load(const void* p) { return from(vld1q_u8(static_cast<const uint8_t*>(p))); }
  static RL_INLINE void store(void* p, Int a) { vst1q_u8(static_cast<uint8_t*>(p), bytes(a)); }
  // Not inline: it is long and only a last, partial tile needs it.
  static __attribute__((noinline)) Int load_n(const void* p, int n) {
    return from(load_bytes_n(static_cast<const uint8_t*>(p), n));
  }
  static __attribute__((noinline)) void store_n(void* p, Int a, int n) {
    store_bytes_n(static_cast<uint8_t*>(p), bytes(a), n);
  }
  template <int H>
  static RL_INLINE Int interleave_bytes(Int a, Int b) {
    return from(H ? vzip2q_u8(bytes(a), bytes(b)) : vzip1q_u8(bytes(a), bytes(b)));
  }
  template <int H>
  static RL_INLINE Int interleave_words(Int a, Int b) {
    const uint16x8_t x = vreinterpretq_u16_s32(a), y = vreinterpretq_u16_s32(b);
    return vreinterpretq_s32_u16(H ? vzip2q_u16(x, y) : vzip1q_u16(x, y));
  }
  static RL_INLINE Int pack_ints(Int a, Int b) { return vreinterpretq_s32_s16(vqmovn_high_s32(vqmovn_s32(a), b)); }
  static RL_INLINE Int pack_words(Int a, Int b) {
    return from(vqmovun_high_s16(vqmovun_s16(vreinterpretq_s16_s32(a)), vreinterpretq_s16_s32(b)));
  }
  static RL_INLINE Int set_bytes(uint8_t x) { return from(vdupq_n_u8(x)); }
  static RL_INLINE Int max_bytes(Int a, Int b) { return from(vmaxq_u8(bytes(a), bytes(b))); }

  static RL_INLINE Float load_float(const float* p) { return vld1q_f32(p); }
  static RL_INLINE Float set_float(float x) { return vdupq_n_f32(x); }
  static RL_INLINE Float to_float(Int a) { return vcvtq_f32_s32(a); }
  static RL_INLINE Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
  static RL_INLINE Float min(Float a, Float b) { return rushlight::min(V{a}, V{b}).r; }
  static RL_INLINE Int round(Float a) { return round_int(V{a}).r; }
  // Four of a and four of b; those of them that are among n.
  static RL_INLINE void store_octets_n(float* p, Float a, Float b, int n) {
    rushlight::store_n(p, {a}, n > 4 ? 4 : n > 0 ? n : 0);
    rushlight::store_n(p + 4, {b}, n > 8 ? 4 : n > 4 ? n - 4 : 0);
  }
};

}  // namespace
}  // namespace rushlight
