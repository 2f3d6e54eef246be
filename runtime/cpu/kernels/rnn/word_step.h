// Integer products by pairs of 16-bit numbers, for ISA files without VNNI.
#pragma once

#include "kernels/rnn/integer_product.h"

namespace rushlight {
namespace {

struct WordStep {
  using Input = int16_t;
  static constexpr int kDepth = 2, kParts = 1;

  static RL_INLINE VI split(VI q, int) { return q; }
  static RL_INLINE VI join(const VI (&acc)[1]) { return acc[0]; }

#if defined(__AVX512F__)
  struct Weight {
    __m512i r;
  };
  static RL_INLINE void store(int16_t* to, VI q) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(q.r));
  }
  static RL_INLINE VI broadcast(const int16_t* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE Weight load(const int8_t* p) {
    return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static RL_INLINE void multiply_add(VI& acc, VI a, Weight w) {
    acc.r = _mm512_add_epi32(acc.r, _mm512_madd_epi16(a.r, w.r));
  }
#elif defined(__AVX2__)
  struct Weight {
    __m256i r;
  };
  static RL_INLINE void store(int16_t* to, VI q) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(q.r, q.r), 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(words));
  }
  static RL_INLINE VI broadcast(const int16_t* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE Weight load(const int8_t* p) {
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static RL_INLINE void multiply_add(VI& acc, VI a, Weight w) {
    acc.r = _mm256_add_epi32(acc.r, _mm256_madd_epi16(a.r, w.r));
  }
#elif defined(RL_NEON)
  using Weight = int16x8_t;
  static RL_INLINE void store(int16_t* to, VI q) { vst1_s16(to, vmovn_s32(q.r)); }
  static RL_INLINE int16x8_t broadcast(const int16_t* p) {
    return vreinterpretq_s16_s32(vdupq_n_s32(*reinterpret_cast<const int32_t*>(p)));
  }
  static RL_INLINE Weight load(const int8_t* p) { return vmovl_s8(vld1_s8(p)); }
  static RL_INLINE void multiply_add(VI& acc, int16x8_t a, Weight w) { acc.r = add_pair_products(acc.r, a, w); }
#else
  using Weight = const int8_t*;
  static RL_INLINE void store(int16_t* to, VI q) {
    int32_t lane[kWidth];
    store_i(lane, q);
    for (int i = 0; i < kWidth; ++i) to[i] = int16_t(lane[i]);
  }
  static RL_INLINE const int16_t* broadcast(const int16_t* p) { return p; }
  static RL_INLINE Weight load(const int8_t* p) { return p; }
  static RL_INLINE void multiply_add(VI& acc, const int16_t* a, Weight w) {
    int32_t lane[kWidth];
    for (int i = 0; i < kWidth; ++i) lane[i] = a[0] * w[2 * i] + a[1] * w[2 * i + 1];
    acc = acc + load_i(lane);
  }
#endif
};

}  // namespace
}  // namespace rushlight
