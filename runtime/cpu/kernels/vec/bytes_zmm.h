// 64 bytes; for ISA files. Interleaving and packing work within 128-bit lanes and undo each other.
#pragma once

#include <cstddef>

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

struct BytesZmm {
  using Int = __m512i;
  using Float = __m512;
  static constexpr int kTile = 64, kPixels = 7;
  static constexpr bool kHasMasks = true;
#if defined(__AVX512VNNI__)
  static constexpr int kParts = 1;
  using Spread = __m512i;
  static RL_INLINE Spread spread(Int x) { return x; }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) { return _mm512_dpbusd_epi32(sum, x, load(w)); }
#else
  static constexpr int kParts = 2;
  struct Spread {
    Int even, odd;
  };
  static RL_INLINE Spread spread(Int x) {
    return {_mm512_and_si512(x, _mm512_set1_epi16(255)), _mm512_srli_epi16(x, 8)};
  }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) {
    const Int even = _mm512_madd_epi16(x.even, load(w)), odd = _mm512_madd_epi16(x.odd, load(w + kTile));
    sum = _mm512_add_epi32(_mm512_add_epi32(sum, even), odd);
    // Otherwise GCC reassociates the sum and holds its terms, on the stack.
    asm("" : "+v"(sum));
    return sum;
  }
#endif

  static RL_INLINE __mmask64 mask(int n) { return n < 64 ? (uint64_t(1) << n) - 1 : ~uint64_t(0); }
  static RL_INLINE Int zero() { return _mm512_setzero_si512(); }
  static RL_INLINE Int load(const void* p) { return _mm512_loadu_si512(p); }
  static RL_INLINE Int load_n(const void* p, int n) { return _mm512_maskz_loadu_epi8(mask(n), p); }
  static RL_INLINE void store(void* p, Int a) { _mm512_storeu_si512(p, a); }
  static RL_INLINE void store_n(void* p, Int a, int n) { _mm512_mask_storeu_epi8(p, mask(n), a); }
  template <int H>
  static RL_INLINE Int interleave_bytes(Int a, Int b) {
    return H ? _mm512_unpackhi_epi8(a, b) : _mm512_unpacklo_epi8(a, b);
  }
  template <int H>
  static RL_INLINE Int interleave_words(Int a, Int b) {
    return H ? _mm512_unpackhi_epi16(a, b) : _mm512_unpacklo_epi16(a, b);
  }
  static RL_INLINE Int pack_ints(Int a, Int b) { return _mm512_packs_epi32(a, b); }
  static RL_INLINE Int pack_words(Int a, Int b) { return _mm512_packus_epi16(a, b); }
  static RL_INLINE Int set_bytes(uint8_t x) { return _mm512_set1_epi8(char(x)); }
  static RL_INLINE Int max_bytes(Int a, Int b) { return _mm512_max_epu8(a, b); }

  static RL_INLINE Float load_float(const float* p) { return _mm512_loadu_ps(p); }
  static RL_INLINE Float set_float(float x) { return _mm512_set1_ps(x); }
  static RL_INLINE Float to_float(Int a) { return _mm512_cvtepi32_ps(a); }
  static RL_INLINE Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static RL_INLINE Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static RL_INLINE Int round(Float a) { return _mm512_cvtps_epi32(a); }
  // Four of a and four of b, eight floats every 16; those of them that are among n.
  static RL_INLINE void store_octets_n(float* p, Float a, Float b, int n) {
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    const __m512d low = _mm512_permutex2var_pd(x, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), y);
    const __m512d high = _mm512_permutex2var_pd(x, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), y);
    const uint64_t bits = n > 0 ? mask(n) : 0;
    _mm256_mask_storeu_ps(p, __mmask8(bits), _mm256_castpd_ps(_mm512_castpd512_pd256(low)));
    _mm256_mask_storeu_ps(p + 16, __mmask8(bits >> 16), _mm256_castpd_ps(_mm512_extractf64x4_pd(low, 1)));
    _mm256_mask_storeu_ps(p + 32, __mmask8(bits >> 32), _mm256_castpd_ps(_mm512_castpd512_pd256(high)));
    _mm256_mask_storeu_ps(p + 48, __mmask8(bits >> 48), _mm256_castpd_ps(_mm512_extractf64x4_pd(high, 1)));
  }
};

}  // namespace
}  // namespace rushlight
