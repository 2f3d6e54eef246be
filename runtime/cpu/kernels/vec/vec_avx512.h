// Included by vec.h: AVX-512 F, BW, DQ and VL.
#pragma once

// GCC 12 warns about its own _mm512_undefined_ps (GCC bug 105593).
#pragma GCC diagnostic push
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace rushlight {
namespace {

constexpr int kWidth = 16;

struct V {
  __m512 r;
};
struct VI {
  __m512i r;
};
struct M {
  __mmask16 r;
};

RL_INLINE V set(float x) { return {_mm512_set1_ps(x)}; }
RL_INLINE VI set_i(int32_t x) { return {_mm512_set1_epi32(x)}; }
RL_INLINE __mmask16 lane_mask(int n) { return __mmask16((1u << n) - 1); }

RL_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
RL_INLINE V load_n(const float* p, int n) { return {_mm512_maskz_loadu_ps(lane_mask(n), p)}; }
RL_INLINE VI load_i(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
RL_INLINE VI load_i_n(const int32_t* p, int n) { return {_mm512_maskz_loadu_epi32(lane_mask(n), p)}; }
RL_INLINE VI load_u8(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
RL_INLINE VI load_u8_n(const uint8_t* p, int n) {
  return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lane_mask(n), p))};
}
RL_INLINE VI load_s8(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
RL_INLINE VI load_s8_n(const int8_t* p, int n) { return {_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lane_mask(n), p))}; }

RL_INLINE __m256i load_words_of(const uint16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
RL_INLINE V load_f16(const uint16_t* p) { return {_mm512_cvtph_ps(load_words_of(p))}; }
RL_INLINE V load_bf16(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load_words_of(p)), 16))};
}

RL_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a.r); }
RL_INLINE void store_n(float* p, V a, int n) { _mm512_mask_storeu_ps(p, lane_mask(n), a.r); }
RL_INLINE void store_i(int32_t* p, VI a) { _mm512_storeu_si512(p, a.r); }
RL_INLINE void store_i_n(int32_t* p, VI a, int n) { _mm512_mask_storeu_epi32(p, lane_mask(n), a.r); }
RL_INLINE __m128i narrow_to_u8(VI a) { return _mm512_cvtusepi32_epi8(_mm512_max_epi32(a.r, _mm512_setzero_si512())); }
RL_INLINE __m128i narrow_to_s8(VI a) { return _mm512_cvtsepi32_epi8(a.r); }
RL_INLINE void store_u8(uint8_t* p, VI a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_to_u8(a)); }
RL_INLINE void store_u8_n(uint8_t* p, VI a, int n) { _mm_mask_storeu_epi8(p, lane_mask(n), narrow_to_u8(a)); }
RL_INLINE void store_s8(int8_t* p, VI a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_to_s8(a)); }
RL_INLINE void store_s8_n(int8_t* p, VI a, int n) { _mm_mask_storeu_epi8(p, lane_mask(n), narrow_to_s8(a)); }
// Packing works within 128-bit lanes.
RL_INLINE __m512i in_order(__m512i packed) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}
RL_INLINE void store_four(uint8_t* p, VI a, VI b, VI c, VI d) {
  _mm512_storeu_si512(p, in_order(_mm512_packus_epi16(_mm512_packs_epi32(a.r, b.r), _mm512_packs_epi32(c.r, d.r))));
}
RL_INLINE void store_four(int8_t* p, VI a, VI b, VI c, VI d) {
  _mm512_storeu_si512(p, in_order(_mm512_packs_epi16(_mm512_packs_epi32(a.r, b.r), _mm512_packs_epi32(c.r, d.r))));
}
template <int N>
RL_INLINE void store_low_bytes(uint8_t* p, VI a) {
  if constexpr (N == 2) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.r));
  if constexpr (N == 4) return _mm512_storeu_si512(p, a.r);
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  const __m512i words = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15);
  _mm512_mask_storeu_epi32(p, 0xFFF, _mm512_permutexvar_epi32(words, _mm512_shuffle_epi8(a.r, bytes)));
}

RL_INLINE V in_register(V a) {
  asm("" : "+v"(a.r));
  return a;
}

RL_INLINE V operator+(V a, V b) { return {_mm512_add_ps(a.r, b.r)}; }
RL_INLINE V operator-(V a, V b) { return {_mm512_sub_ps(a.r, b.r)}; }
RL_INLINE V operator*(V a, V b) { return {_mm512_mul_ps(a.r, b.r)}; }
RL_INLINE V operator/(V a, V b) { return {_mm512_div_ps(a.r, b.r)}; }
RL_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.r, b.r, c.r)}; }
RL_INLINE V fnma(V a, V b, V c) { return {_mm512_fnmadd_ps(a.r, b.r, c.r)}; }
RL_INLINE V max(V a, V b) { return {_mm512_max_ps(a.r, b.r)}; }
RL_INLINE V min(V a, V b) { return {_mm512_min_ps(a.r, b.r)}; }
RL_INLINE V sqrt(V a) { return {_mm512_sqrt_ps(a.r)}; }
RL_INLINE V round(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
RL_INLINE V floor(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
RL_INLINE V ceil(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)}; }
RL_INLINE V trunc(V a) { return {_mm512_roundscale_ps(a.r, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }

RL_INLINE V to_float(VI a) { return {_mm512_cvtepi32_ps(a.r)}; }
RL_INLINE VI round_int(V a) { return {_mm512_cvtps_epi32(a.r)}; }
RL_INLINE VI truncate_int(V a) { return {_mm512_cvttps_epi32(a.r)}; }
RL_INLINE VI bits(V a) { return {_mm512_castps_si512(a.r)}; }
RL_INLINE V from_bits(VI a) { return {_mm512_castsi512_ps(a.r)}; }

RL_INLINE VI operator+(VI a, VI b) { return {_mm512_add_epi32(a.r, b.r)}; }
RL_INLINE VI operator-(VI a, VI b) { return {_mm512_sub_epi32(a.r, b.r)}; }
RL_INLINE VI operator*(VI a, VI b) { return {_mm512_mullo_epi32(a.r, b.r)}; }
RL_INLINE VI operator&(VI a, VI b) { return {_mm512_and_si512(a.r, b.r)}; }
RL_INLINE VI operator|(VI a, VI b) { return {_mm512_or_si512(a.r, b.r)}; }
RL_INLINE VI operator^(VI a, VI b) { return {_mm512_xor_si512(a.r, b.r)}; }
template <int K>
RL_INLINE VI shift_left(VI a) {
  return {_mm512_slli_epi32(a.r, K)};
}
template <int K>
RL_INLINE VI shift_right(VI a) {  // arithmetic
  return {_mm512_srai_epi32(a.r, K)};
}
RL_INLINE VI max_i(VI a, VI b) { return {_mm512_max_epi32(a.r, b.r)}; }
RL_INLINE VI min_i(VI a, VI b) { return {_mm512_min_epi32(a.r, b.r)}; }

RL_INLINE M eq(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_EQ_OQ)}; }
RL_INLINE M lt(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LT_OQ)}; }
RL_INLINE M le(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LE_OQ)}; }
RL_INLINE M eq_i(VI a, VI b) { return {_mm512_cmpeq_epi32_mask(a.r, b.r)}; }
RL_INLINE M lt_i(VI a, VI b) { return {_mm512_cmplt_epi32_mask(a.r, b.r)}; }
RL_INLINE M operator&(M a, M b) { return {__mmask16(a.r & b.r)}; }
RL_INLINE M operator|(M a, M b) { return {__mmask16(a.r | b.r)}; }
RL_INLINE M operator!(M a) { return {__mmask16(~a.r)}; }
RL_INLINE M first_lanes(int n) { return {lane_mask(n)}; }
RL_INLINE bool any(M a) { return a.r != 0; }
RL_INLINE uint32_t lane_bits(M a) { return a.r; }
RL_INLINE V select(M m, V a, V b) { return {_mm512_mask_blend_ps(m.r, b.r, a.r)}; }
RL_INLINE VI select_i(M m, VI a, VI b) { return {_mm512_mask_blend_epi32(m.r, b.r, a.r)}; }
RL_INLINE M mask_of_bytes(__m128i bytes) { return {_mm_test_epi8_mask(bytes, bytes)}; }
RL_INLINE M load_mask(const uint8_t* p) { return mask_of_bytes(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
RL_INLINE M load_mask_n(const uint8_t* p, int n) { return mask_of_bytes(_mm_maskz_loadu_epi8(lane_mask(n), p)); }
RL_INLINE __m128i bytes_of_mask(M m) { return _mm_maskz_set1_epi8(m.r, 1); }
RL_INLINE void store_mask(uint8_t* p, M m) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes_of_mask(m)); }
RL_INLINE void store_mask_n(uint8_t* p, M m, int n) { _mm_mask_storeu_epi8(p, lane_mask(n), bytes_of_mask(m)); }

RL_INLINE float first(V a) { return _mm512_cvtss_f32(a.r); }
template <int K>
RL_INLINE V down(V a) {
  static_assert(K == 8 || K == 4 || K == 2 || K == 1);
  if constexpr (K == 8) return {_mm512_shuffle_f32x4(a.r, a.r, 0x4E)};
  if constexpr (K == 4) return {_mm512_shuffle_f32x4(a.r, a.r, 0xB1)};
  if constexpr (K == 2) return {_mm512_permute_ps(a.r, 0x4E)};
  return {_mm512_permute_ps(a.r, 0xB1)};
}

}  // namespace
}  // namespace rushlight
