// W: s16 lanes, kWords of them, twice as many as V has; for ISA files. Arithmetic wraps.
#pragma once

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

constexpr int kWords = 2 * kWidth;

#if defined(__AVX512BW__)
struct W {
  __m512i r;
};

RL_INLINE W set_words(int16_t x) { return {_mm512_set1_epi16(x)}; }
RL_INLINE W widen(const uint8_t* p) {
  return {_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
RL_INLINE W widen_n(const uint8_t* p, int n) {
  return {_mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(__mmask32((uint64_t(1) << n) - 1), p))};
}
RL_INLINE void store_words(void* p, W a) { _mm512_storeu_si512(p, a.r); }
RL_INLINE W operator+(W a, W b) { return {_mm512_add_epi16(a.r, b.r)}; }
RL_INLINE W operator-(W a, W b) { return {_mm512_sub_epi16(a.r, b.r)}; }
template <int K>
RL_INLINE W shift_left(W a) {
  return {_mm512_slli_epi16(a.r, K)};
}
#elif defined(__AVX2__)
struct W {
  __m256i r;
};

RL_INLINE W set_words(int16_t x) { return {_mm256_set1_epi16(x)}; }
RL_INLINE W widen(const uint8_t* p) {
  return {_mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
RL_INLINE W widen_n(const uint8_t* p, int n) {
  const __m128i low = load_bytes_n(p, n < 8 ? n : 8), high = load_bytes_n(p + 8, n < 8 ? 0 : n < 16 ? n - 8 : 8);
  return {_mm256_cvtepu8_epi16(_mm_unpacklo_epi64(low, high))};
}
RL_INLINE void store_words(void* p, W a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a.r); }
RL_INLINE W operator+(W a, W b) { return {_mm256_add_epi16(a.r, b.r)}; }
RL_INLINE W operator-(W a, W b) { return {_mm256_sub_epi16(a.r, b.r)}; }
template <int K>
RL_INLINE W shift_left(W a) {
  return {_mm256_slli_epi16(a.r, K)};
}
#elif defined(RL_NEON)
struct W {
  int16x8_t r;
};

RL_INLINE W set_words(int16_t x) { return {vdupq_n_s16(x)}; }
RL_INLINE W widen_n(const uint8_t* p, int n) {
  return {vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(load_bytes_n(p, n))))};
}
RL_INLINE W widen(const uint8_t* p) { return {vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)))}; }
RL_INLINE void store_words(void* p, W a) { vst1q_s16(static_cast<int16_t*>(p), a.r); }
RL_INLINE W operator+(W a, W b) { return {vaddq_s16(a.r, b.r)}; }
RL_INLINE W operator-(W a, W b) { return {vsubq_s16(a.r, b.r)}; }
template <int K>
RL_INLINE W shift_left(W a) {
  return {vshlq_n_s16(a.r, K)};
}
#else
struct W {
  int16_t lane[kWords];
};

template <class Fn>
RL_INLINE W each_word(Fn fn) {
  W r;
  for (int i = 0; i < kWords; ++i) r.lane[i] = int16_t(fn(i));
  return r;
}

RL_INLINE W set_words(int16_t x) {
  return each_word([=](int) { return x; });
}
RL_INLINE W widen_n(const uint8_t* p, int n) {
  return each_word([=](int i) { return i < n ? p[i] : 0; });
}
RL_INLINE W widen(const uint8_t* p) { return widen_n(p, kWords); }
RL_INLINE void store_words(void* p, const W& a) { __builtin_memcpy(p, a.lane, sizeof a.lane); }
RL_INLINE W operator+(const W& a, const W& b) {
  return each_word([&](int i) { return a.lane[i] + b.lane[i]; });
}
RL_INLINE W operator-(const W& a, const W& b) {
  return each_word([&](int i) { return a.lane[i] - b.lane[i]; });
}
template <int K>
RL_INLINE W shift_left(const W& a) {
  return each_word([&](int i) { return uint32_t(a.lane[i]) << K; });
}
#endif

}  // namespace
}  // namespace rushlight
