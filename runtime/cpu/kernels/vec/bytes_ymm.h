// 32 bytes; for ISA files. Interleaving and packing work within 128-bit lanes and undo each other.
#pragma once

#include <cstddef>

#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

struct BytesYmm {
  using Int = __m256i;
  using Float = __m256;
  static constexpr int kTile = 32, kPixels = 4;
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  static constexpr int kParts = 1;
  using Spread = __m256i;
  static RL_INLINE Spread spread(Int x) { return x; }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) {
#if defined(__AVX512VNNI__)
    return _mm256_dpbusd_epi32(sum, x, load(w));
#else
    return _mm256_dpbusd_avx_epi32(sum, x, load(w));
#endif
  }
#else
  static constexpr int kParts = 2;
  struct Spread {
    Int even, odd;
  };
  static RL_INLINE Spread spread(Int x) {
    return {_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srli_epi16(x, 8)};
  }
  static RL_INLINE Int dot(Int sum, Spread x, const std::byte* w) {
    const Int even = _mm256_madd_epi16(x.even, load(w)), odd = _mm256_madd_epi16(x.odd, load(w + kTile));
    sum = _mm256_add_epi32(_mm256_add_epi32(sum, even), odd);
    // Otherwise GCC reassociates the sum and holds its terms, on the stack.
    asm("" : "+v"(sum));
    return sum;
  }
#endif

  static RL_INLINE Int zero() { return _mm256_setzero_si256(); }
  static RL_INLINE Int load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static RL_INLINE void store(void* p, Int a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
#if defined(__AVX512BW__)
  static constexpr bool kHasMasks = true;
  static RL_INLINE __mmask32 mask(int n) { return __mmask32((uint64_t(1) << n) - 1); }
  static RL_INLINE Int load_n(const void* p, int n) { return _mm256_maskz_loadu_epi8(mask(n), p); }
  static RL_INLINE void store_n(void* p, Int a, int n) { _mm256_mask_storeu_epi8(p, mask(n), a); }
#else
  static constexpr bool kHasMasks = false;
  static RL_INLINE int eighth(int n, int i) { return n < 8 * i ? 0 : n - 8 * i > 8 ? 8 : n - 8 * i; }
  static RL_INLINE __m128i load_half(const uint8_t* p, int n) {
    if (n >= 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    if (n <= 0) return _mm_setzero_si128();
    return _mm_unpacklo_epi64(load_bytes_n(p, eighth(n, 0)), load_bytes_n(p + 8, eighth(n, 1)));
  }
  static RL_INLINE void store_half(uint8_t* p, __m128i a, int n) {
    if (n >= 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a);
    if (n <= 0) return;
    store_bytes_n(p, a, eighth(n, 0));
    store_bytes_n(p + 8, _mm_unpackhi_epi64(a, a), eighth(n, 1));
  }
  // Not inline: it is long and only a last, partial tile needs it.
  static __attribute__((noinline)) Int load_n(const void* p, int n) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return _mm256_set_m128i(load_half(bytes + 16, n - 16), load_half(bytes, n));
  }
  static __attribute__((noinline)) void store_n(void* p, Int a, int n) {
    auto* bytes = static_cast<uint8_t*>(p);
    store_half(bytes, _mm256_castsi256_si128(a), n);
    store_half(bytes + 16, _mm256_extracti128_si256(a, 1), n - 16);
  }
#endif
  template <int H>
  static RL_INLINE Int interleave_bytes(Int a, Int b) {
    return H ? _mm256_unpackhi_epi8(a, b) : _mm256_unpacklo_epi8(a, b);
  }
  template <int H>
  static RL_INLINE Int interleave_words(Int a, Int b) {
    return H ? _mm256_unpackhi_epi16(a, b) : _mm256_unpacklo_epi16(a, b);
  }
  static RL_INLINE Int pack_ints(Int a, Int b) { return _mm256_packs_epi32(a, b); }
  static RL_INLINE Int pack_words(Int a, Int b) { return _mm256_packus_epi16(a, b); }
  static RL_INLINE Int set_bytes(uint8_t x) { return _mm256_set1_epi8(char(x)); }
  static RL_INLINE Int max_bytes(Int a, Int b) { return _mm256_max_epu8(a, b); }

  static RL_INLINE Float load_float(const float* p) { return _mm256_loadu_ps(p); }
  static RL_INLINE Float set_float(float x) { return _mm256_set1_ps(x); }
  static RL_INLINE Float to_float(Int a) { return _mm256_cvtepi32_ps(a); }
  static RL_INLINE Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static RL_INLINE Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static RL_INLINE Int round(Float a) { return _mm256_cvtps_epi32(a); }
  // Four of a and four of b, eight floats every 16; those of them that are among n.
  static RL_INLINE void store_octets_n(float* p, Float a, Float b, int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), _mm256_permute2f128_ps(a, b, 0x20));
    _mm256_maskstore_ps(p + 16, _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 16), lane),
                        _mm256_permute2f128_ps(a, b, 0x31));
  }
};

}  // namespace
}  // namespace rushlight
