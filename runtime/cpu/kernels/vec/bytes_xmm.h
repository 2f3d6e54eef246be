// 16 bytes; for ISA files with AVX2. As BytesYmm (bytes_ymm.h), of one lane.
#pragma once

#include <cstddef>

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

struct BytesXmm {
  using Int = __m128i;
  using Float = __m128;
  static constexpr int kTile = 16, kPixels = 4;
  static constexpr bool kHasMasks = false;
#if defined(__AVXVNNI__)
  static constexpr int kParts = 1;
  using Spread = __m128i;
  static RL_INLINE Spread spread(Int x) { return x; }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) { return _mm_dpbusd_avx_epi32(sum, x, load(w)); }
#else
  static constexpr int kParts = 2;
  struct Spread {
    Int even, odd;
  };
  static RL_INLINE Spread spread(Int x) { return {_mm_and_si128(x, _mm_set1_epi16(255)), _mm_srli_epi16(x, 8)}; }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) {
    const Int even = _mm_madd_epi16(x.even, load(w)), odd = _mm_madd_epi16(x.odd, load(w + kTile));
    return _mm_add_epi32(_mm_add_epi32(sum, even), odd);
  }
#endif

  static RL_INLINE Int zero() { return _mm_setzero_si128(); }
  static RL_INLINE Int load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  static RL_INLINE void store(void* p, Int a) { _mm_storeu_si128(static_cast<__m128i*>(p), a); }
  // As a rule eight: channels are multiples of that. Not inline for others, which are long.
  static RL_INLINE Int load_n(const void* p, int n) {
    return __builtin_expect(n == 8, 1) ? _mm_loadl_epi64(static_cast<const __m128i*>(p)) : load_some(p, n);
  }
  static RL_INLINE void store_n(void* p, Int a, int n) {
    if (__builtin_expect(n == 8, 1)) return _mm_storel_epi64(static_cast<__m128i*>(p), a);
    store_some(p, a, n);
  }

  template <int H>
  static RL_INLINE Int interleave_bytes(Int a, Int b) {
    return H ? _mm_unpackhi_epi8(a, b) : _mm_unpacklo_epi8(a, b);
  }
  template <int H>
  static RL_INLINE Int interleave_words(Int a, Int b) {
    return H ? _mm_unpackhi_epi16(a, b) : _mm_unpacklo_epi16(a, b);
  }
  static RL_INLINE Int pack_ints(Int a, Int b) { return _mm_packs_epi32(a, b); }
  static RL_INLINE Int pack_words(Int a, Int b) { return _mm_packus_epi16(a, b); }
  static RL_INLINE Int set_bytes(uint8_t x) { return _mm_set1_epi8(char(x)); }
  static RL_INLINE Int max_bytes(Int a, Int b) { return _mm_max_epu8(a, b); }

  static RL_INLINE Float load_float(const float* p) { return _mm_loadu_ps(p); }
  static RL_INLINE Float set_float(float x) { return _mm_set1_ps(x); }
  static RL_INLINE Float to_float(Int a) { return _mm_cvtepi32_ps(a); }
  static RL_INLINE Float fma(Float a, Float b, Float c) { return _mm_fmadd_ps(a, b, c); }
  static RL_INLINE Float min(Float a, Float b) { return _mm_min_ps(a, b); }
  static RL_INLINE Int round(Float a) { return _mm_cvtps_epi32(a); }
  // Four of a and four of b; those of them that are among n.
  static RL_INLINE void store_octets_n(float* p, Float a, Float b, int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), _mm256_set_m128(b, a));
  }

 private:
  static int clamp_to_8(int n) { return n < 0 ? 0 : n > 8 ? 8 : n; }
  static __attribute__((noinline)) Int load_some(const void* p, int n) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return _mm_unpacklo_epi64(load_bytes_n(bytes, clamp_to_8(n)), load_bytes_n(bytes + 8, clamp_to_8(n - 8)));
  }
  static __attribute__((noinline)) void store_some(void* p, Int a, int n) {
    auto* bytes = static_cast<uint8_t*>(p);
    store_bytes_n(bytes, a, clamp_to_8(n));
    store_bytes_n(bytes + 8, _mm_unpackhi_epi64(a, a), clamp_to_8(n - 8));
  }
};

}  // namespace
}  // namespace rushlight
