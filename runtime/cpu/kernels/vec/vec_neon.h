// Included by vec.h: 128-bit vectors of ARMv8. Where x86 and ARM disagree about an operation, x86's meaning holds.
#pragma once

#include <arm_neon.h>

namespace rushlight {
namespace {

constexpr int kWidth = 4;

struct V {
  float32x4_t r;
};
struct VI {
  int32x4_t r;
};
struct M {
  uint32x4_t r;  // all bits of a lane alike
};

RL_INLINE V set(float x) { return {vdupq_n_f32(x)}; }
RL_INLINE VI set_i(int32_t x) { return {vdupq_n_s32(x)}; }

// Four words of which the first n come from p.
RL_INLINE uint32x4_t load_words_n(const uint32_t* p, int n) {
  if (n == 4) return vld1q_u32(p);
  uint32x4_t words = vdupq_n_u32(0);
  if (n & 2) words = vcombine_u32(vld1_u32(p), vdup_n_u32(0));
  if (n == 1) words = vld1q_lane_u32(p, words, 0);
  if (n == 3) words = vld1q_lane_u32(p + 2, words, 2);
  return words;
}
RL_INLINE void store_words_n(uint32_t* p, uint32x4_t words, int n) {
  if (n == 4) return vst1q_u32(p, words);
  if (n & 2) vst1_u32(p, vget_low_u32(words));
  if (n == 1) vst1q_lane_u32(p, words, 0);
  if (n == 3) vst1q_lane_u32(p + 2, words, 2);
}

// Four bytes of which the first n come from p, in the lowest part of a vector.
RL_INLINE uint8x8_t load_four_bytes_n(const void* p, int n) {
  uint32_t word = 0;
  const uint8_t* byte = static_cast<const uint8_t*>(p);
  if (n == 4) {
    __builtin_memcpy(&word, byte, 4);
  } else {
    if (n & 2) {
      uint16_t part;
      __builtin_memcpy(&part, byte, 2);
      word = part;
    }
    if (n & 1) word |= uint32_t(byte[n & 2]) << (8 * (n & 2));
  }
  return vcreate_u8(word);
}
RL_INLINE void store_four_bytes_n(void* p, uint8x8_t bytes, int n) {
  uint32_t word = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  uint8_t* byte = static_cast<uint8_t*>(p);
  if (n == 4) {
    __builtin_memcpy(byte, &word, 4);
    return;
  }
  if (n & 2) {
    __builtin_memcpy(byte, &word, 2);
    word >>= 16;
    byte += 2;
  }
  if (n & 1) *byte = uint8_t(word);
}

// The first n of 16 bytes.
RL_INLINE uint8x16_t load_bytes_n(const uint8_t* p, int n) {
  if (n == 16) return vld1q_u8(p);
  uint32_t words[4] = {};
  int i = 0;
  for (; i + 4 <= n; i += 4) __builtin_memcpy(&words[i / 4], p + i, 4);
  if (i < n) words[i / 4] = vget_lane_u32(vreinterpret_u32_u8(load_four_bytes_n(p + i, n - i)), 0);
  return vreinterpretq_u8_u32(vld1q_u32(words));
}
RL_INLINE void store_bytes_n(uint8_t* p, uint8x16_t bytes, int n) {
  if (n == 16) return vst1q_u8(p, bytes);
  if (n & 8) {
    vst1_u8(p, vget_low_u8(bytes));
    bytes = vextq_u8(bytes, bytes, 8);
    p += 8;
  }
  if (n & 4) {
    vst1q_lane_u32(reinterpret_cast<uint32_t*>(p), vreinterpretq_u32_u8(bytes), 0);
    bytes = vextq_u8(bytes, bytes, 4);
    p += 4;
  }
  store_four_bytes_n(p, vget_low_u8(bytes), n & 3);
}

RL_INLINE V load(const float* p) { return {vld1q_f32(p)}; }
RL_INLINE V load_n(const float* p, int n) {
  return {vreinterpretq_f32_u32(load_words_n(reinterpret_cast<const uint32_t*>(p), n))};
}
RL_INLINE VI load_i(const int32_t* p) { return {vld1q_s32(p)}; }
RL_INLINE VI load_i_n(const int32_t* p, int n) {
  return {vreinterpretq_s32_u32(load_words_n(reinterpret_cast<const uint32_t*>(p), n))};
}
RL_INLINE VI load_u8_n(const uint8_t* p, int n) {
  return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(load_four_bytes_n(p, n)))))};
}
RL_INLINE VI load_u8(const uint8_t* p) { return load_u8_n(p, 4); }
RL_INLINE VI load_s8_n(const int8_t* p, int n) {
  return {vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(load_four_bytes_n(p, n)))))};
}
RL_INLINE VI load_s8(const int8_t* p) { return load_s8_n(p, 4); }

RL_INLINE V load_f16(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
RL_INLINE V load_bf16(const uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }

RL_INLINE void store(float* p, V a) { vst1q_f32(p, a.r); }
RL_INLINE void store_n(float* p, V a, int n) {
  store_words_n(reinterpret_cast<uint32_t*>(p), vreinterpretq_u32_f32(a.r), n);
}
RL_INLINE void store_i(int32_t* p, VI a) { vst1q_s32(p, a.r); }
RL_INLINE void store_i_n(int32_t* p, VI a, int n) {
  store_words_n(reinterpret_cast<uint32_t*>(p), vreinterpretq_u32_s32(a.r), n);
}
RL_INLINE int16x8_t narrow_to_s16(VI a) { return vcombine_s16(vqmovn_s32(a.r), vdup_n_s16(0)); }
RL_INLINE void store_u8_n(uint8_t* p, VI a, int n) { store_four_bytes_n(p, vqmovun_s16(narrow_to_s16(a)), n); }
RL_INLINE void store_u8(uint8_t* p, VI a) { store_u8_n(p, a, 4); }
RL_INLINE void store_s8_n(int8_t* p, VI a, int n) {
  store_four_bytes_n(p, vreinterpret_u8_s8(vqmovn_s16(narrow_to_s16(a))), n);
}
RL_INLINE void store_s8(int8_t* p, VI a) { store_s8_n(p, a, 4); }
template <int N>
RL_INLINE void store_low_bytes(uint8_t* p, VI a) {
  const uint8x16_t index = N == 2   ? uint8x16_t{0, 1, 4, 5, 8, 9, 12, 13}
                           : N == 3 ? uint8x16_t{0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14}
                                    : uint8x16_t{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const uint8x16_t bytes = vqtbl1q_u8(vreinterpretq_u8_s32(a.r), index);
  __builtin_memcpy(p, &bytes, 4 * N);
}

// A word in lane 0, the only one that is used. Not an intrinsic: GCC 12 clears the register first.
RL_INLINE uint32x4_t load_lane(const void* p) {
  uint32x4_t word;
  asm("ldr %s0, %1" : "=w"(word) : "m"(*static_cast<const uint32_t*>(p)));
  return word;
}

// sum + the products of neighbours, added.
RL_INLINE int32x4_t add_pair_products(int32x4_t sum, int16x8_t a, int16x8_t b) {
  const int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
  return vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(a, b)));
}

RL_INLINE V in_register(V a) {
  asm("" : "+w"(a.r));
  return a;
}

RL_INLINE V operator+(V a, V b) { return {vaddq_f32(a.r, b.r)}; }
RL_INLINE V operator-(V a, V b) { return {vsubq_f32(a.r, b.r)}; }
RL_INLINE V operator*(V a, V b) { return {vmulq_f32(a.r, b.r)}; }
RL_INLINE V operator/(V a, V b) { return {vdivq_f32(a.r, b.r)}; }
RL_INLINE V fma(V a, V b, V c) { return {vfmaq_f32(c.r, a.r, b.r)}; }
RL_INLINE V fnma(V a, V b, V c) { return {vfmsq_f32(c.r, a.r, b.r)}; }
// Selecting bits lets a denormal through, which vmaxps would not: FMAX of a value and itself flushes it, and nothing
// else. In assembly, since a compiler may know that nothing else.
RL_INLINE V flushed(V a) {
  asm("fmax %0.4s, %0.4s, %0.4s" : "+w"(a.r));
  return a;
}
RL_INLINE V max(V a, V b) { return flushed({vbslq_f32(vcgtq_f32(a.r, b.r), a.r, b.r)}); }
RL_INLINE V min(V a, V b) { return flushed({vbslq_f32(vcltq_f32(a.r, b.r), a.r, b.r)}); }
RL_INLINE V sqrt(V a) { return {vsqrtq_f32(a.r)}; }
RL_INLINE V round(V a) { return {vrndnq_f32(a.r)}; }
RL_INLINE V floor(V a) { return {vrndmq_f32(a.r)}; }
RL_INLINE V ceil(V a) { return {vrndpq_f32(a.r)}; }
RL_INLINE V trunc(V a) { return {vrndq_f32(a.r)}; }

RL_INLINE V to_float(VI a) { return {vcvtq_f32_s32(a.r)}; }
// ARM saturates, and NaN becomes 0.
RL_INLINE VI int_or_min(V a, int32x4_t converted) {
  return {vbslq_s32(vcltq_f32(a.r, vdupq_n_f32(0x1p31f)), converted, vdupq_n_s32(INT32_MIN))};
}
RL_INLINE VI round_int(V a) { return int_or_min(a, vcvtnq_s32_f32(a.r)); }
RL_INLINE VI truncate_int(V a) { return int_or_min(a, vcvtq_s32_f32(a.r)); }
RL_INLINE VI bits(V a) { return {vreinterpretq_s32_f32(a.r)}; }
RL_INLINE V from_bits(VI a) { return {vreinterpretq_f32_s32(a.r)}; }

RL_INLINE VI operator+(VI a, VI b) { return {vaddq_s32(a.r, b.r)}; }
RL_INLINE VI operator-(VI a, VI b) { return {vsubq_s32(a.r, b.r)}; }
RL_INLINE VI operator*(VI a, VI b) { return {vmulq_s32(a.r, b.r)}; }
RL_INLINE VI operator&(VI a, VI b) { return {vandq_s32(a.r, b.r)}; }
RL_INLINE VI operator|(VI a, VI b) { return {vorrq_s32(a.r, b.r)}; }
RL_INLINE VI operator^(VI a, VI b) { return {veorq_s32(a.r, b.r)}; }
template <int K>
RL_INLINE VI shift_left(VI a) {
  return {vshlq_n_s32(a.r, K)};
}
template <int K>
RL_INLINE VI shift_right(VI a) {  // arithmetic
  return {vshrq_n_s32(a.r, K)};
}
RL_INLINE VI max_i(VI a, VI b) { return {vmaxq_s32(a.r, b.r)}; }
RL_INLINE VI min_i(VI a, VI b) { return {vminq_s32(a.r, b.r)}; }

RL_INLINE M eq(V a, V b) { return {vceqq_f32(a.r, b.r)}; }
RL_INLINE M lt(V a, V b) { return {vcltq_f32(a.r, b.r)}; }
RL_INLINE M le(V a, V b) { return {vcleq_f32(a.r, b.r)}; }
RL_INLINE M eq_i(VI a, VI b) { return {vceqq_s32(a.r, b.r)}; }
RL_INLINE M lt_i(VI a, VI b) { return {vcltq_s32(a.r, b.r)}; }
RL_INLINE M operator&(M a, M b) { return {vandq_u32(a.r, b.r)}; }
RL_INLINE M operator|(M a, M b) { return {vorrq_u32(a.r, b.r)}; }
RL_INLINE M operator!(M a) { return {vmvnq_u32(a.r)}; }
RL_INLINE M first_lanes(int n) {
  constexpr int32_t lane[] = {0, 1, 2, 3};
  return lt_i(load_i(lane), set_i(n));
}
RL_INLINE bool any(M a) { return vmaxvq_u32(a.r) != 0; }
RL_INLINE uint32_t lane_bits(M a) {
  const uint32_t lane[kWidth] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(a.r, vld1q_u32(lane)));
}
RL_INLINE V select(M m, V a, V b) { return {vbslq_f32(m.r, a.r, b.r)}; }
RL_INLINE VI select_i(M m, VI a, VI b) { return {vbslq_s32(m.r, a.r, b.r)}; }
RL_INLINE M load_mask_n(const uint8_t* p, int n) { return lt_i(set_i(0), load_u8_n(p, n)); }
RL_INLINE M load_mask(const uint8_t* p) { return load_mask_n(p, 4); }
RL_INLINE void store_mask_n(uint8_t* p, M m, int n) { store_u8_n(p, {vreinterpretq_s32_u32(vshrq_n_u32(m.r, 31))}, n); }
RL_INLINE void store_mask(uint8_t* p, M m) { store_mask_n(p, m, 4); }

RL_INLINE float first(V a) { return vgetq_lane_f32(a.r, 0); }
template <int K>
RL_INLINE V down(V a) {
  static_assert(K == 2 || K == 1);
  return {vextq_f32(a.r, a.r, K)};
}

}  // namespace
}  // namespace rushlight
