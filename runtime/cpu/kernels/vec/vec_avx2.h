// Included by vec.h: AVX2 and FMA.
#pragma once

#include <immintrin.h>

namespace rushlight {
namespace {

constexpr int kWidth = 8;

struct V {
  __m256 r;
};
struct VI {
  __m256i r;
};
struct M {
  __m256 r;  // all bits of a lane alike
};

RL_INLINE V set(float x) { return {_mm256_set1_ps(x)}; }
RL_INLINE VI set_i(int32_t x) { return {_mm256_set1_epi32(x)}; }
RL_INLINE __m256i lane_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Whether the compiler knows that no lane is left out: a mask, even of all lanes, makes loads and stores slower.
RL_INLINE bool is_whole(int n) { return __builtin_constant_p(n == kWidth) && n == kWidth; }

// Eight bytes of which the first n come from p.
RL_INLINE __m128i load_bytes_n(const void* p, int n) {
  uint64_t word = 0;
  const uint8_t* byte = static_cast<const uint8_t*>(p);
  if (n == 8) {
    __builtin_memcpy(&word, byte, 8);
  } else {
    if (n & 4) {
      uint32_t part;
      __builtin_memcpy(&part, byte, 4);
      word = part;
    }
    if (n & 2) {
      uint16_t part;
      __builtin_memcpy(&part, byte + (n & 4), 2);
      word |= uint64_t(part) << (8 * (n & 4));
    }
    if (n & 1) word |= uint64_t(byte[n & 6]) << (8 * (n & 6));
  }
  return _mm_cvtsi64_si128(int64_t(word));
}
RL_INLINE void store_bytes_n(void* p, __m128i bytes, int n) {
  uint64_t word = uint64_t(_mm_cvtsi128_si64(bytes));
  uint8_t* byte = static_cast<uint8_t*>(p);
  if (n == 8) {
    __builtin_memcpy(byte, &word, 8);
    return;
  }
  if (n & 4) {
    __builtin_memcpy(byte, &word, 4);
    word >>= 32;
    byte += 4;
  }
  if (n & 2) {
    __builtin_memcpy(byte, &word, 2);
    word >>= 16;
    byte += 2;
  }
  if (n & 1) *byte = uint8_t(word);
}

RL_INLINE V load(const float* p) { return {_mm256_loadu_ps(p)}; }
RL_INLINE V load_n(const float* p, int n) { return is_whole(n) ? load(p) : V{_mm256_maskload_ps(p, lane_mask(n))}; }
RL_INLINE VI load_i(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
RL_INLINE VI load_i_n(const int32_t* p, int n) {
  return is_whole(n) ? load_i(p) : VI{_mm256_maskload_epi32(p, lane_mask(n))};
}
RL_INLINE VI load_u8(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
RL_INLINE VI load_u8_n(const uint8_t* p, int n) { return {_mm256_cvtepu8_epi32(load_bytes_n(p, n))}; }
RL_INLINE VI load_s8(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
RL_INLINE VI load_s8_n(const int8_t* p, int n) { return {_mm256_cvtepi8_epi32(load_bytes_n(p, n))}; }

RL_INLINE __m128i load_words_of(const uint16_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
RL_INLINE V load_f16(const uint16_t* p) { return {_mm256_cvtph_ps(load_words_of(p))}; }
RL_INLINE V load_bf16(const uint16_t* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_words_of(p)), 16))};
}

RL_INLINE void store(float* p, V a) { _mm256_storeu_ps(p, a.r); }
RL_INLINE void store_n(float* p, V a, int n) {
  if (is_whole(n)) return store(p, a);
  _mm256_maskstore_ps(p, lane_mask(n), a.r);
}
RL_INLINE void store_i(int32_t* p, VI a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.r); }
RL_INLINE void store_i_n(int32_t* p, VI a, int n) {
  if (is_whole(n)) return store_i(p, a);
  _mm256_maskstore_epi32(p, lane_mask(n), a.r);
}
RL_INLINE __m128i narrow_to_s16(VI a) {
  return _mm_packs_epi32(_mm256_castsi256_si128(a.r), _mm256_extracti128_si256(a.r, 1));
}
RL_INLINE __m128i narrow_to_u8(VI a) { return _mm_packus_epi16(narrow_to_s16(a), _mm_setzero_si128()); }
RL_INLINE __m128i narrow_to_s8(VI a) { return _mm_packs_epi16(narrow_to_s16(a), _mm_setzero_si128()); }
RL_INLINE void store_u8(uint8_t* p, VI a) { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), narrow_to_u8(a)); }
RL_INLINE void store_u8_n(uint8_t* p, VI a, int n) { store_bytes_n(p, narrow_to_u8(a), n); }
RL_INLINE void store_s8(int8_t* p, VI a) { _mm_storel_epi64(reinterpret_cast<__m128i*>(p), narrow_to_s8(a)); }
RL_INLINE void store_s8_n(int8_t* p, VI a, int n) { store_bytes_n(p, narrow_to_s8(a), n); }
// Packing works within 128-bit lanes.
RL_INLINE void store_in_order(void* p, __m256i packed) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(packed, order));
}
RL_INLINE void store_four(uint8_t* p, VI a, VI b, VI c, VI d) {
  store_in_order(p, _mm256_packus_epi16(_mm256_packs_epi32(a.r, b.r), _mm256_packs_epi32(c.r, d.r)));
}
RL_INLINE void store_four(int8_t* p, VI a, VI b, VI c, VI d) {
  store_in_order(p, _mm256_packs_epi16(_mm256_packs_epi32(a.r, b.r), _mm256_packs_epi32(c.r, d.r)));
}
template <int N>
RL_INLINE void store_low_bytes(uint8_t* p, VI a) {
  if constexpr (N == 4) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.r);
  if constexpr (N == 2) {
    const __m256i bytes = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                           0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i whole = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(a.r, bytes), 0x08);
    return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(whole));
  }
  const __m256i bytes = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,  //
                                         0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const __m256i words = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
  const __m256i whole = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(a.r, bytes), words);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(whole));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p + 16), _mm256_extracti128_si256(whole, 1));
}

RL_INLINE V in_register(V a) {
  asm("" : "+x"(a.r));
  return a;
}

RL_INLINE V operator+(V a, V b) { return {_mm256_add_ps(a.r, b.r)}; }
RL_INLINE V operator-(V a, V b) { return {_mm256_sub_ps(a.r, b.r)}; }
RL_INLINE V operator*(V a, V b) { return {_mm256_mul_ps(a.r, b.r)}; }
RL_INLINE V operator/(V a, V b) { return {_mm256_div_ps(a.r, b.r)}; }
RL_INLINE V fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.r, b.r, c.r)}; }
RL_INLINE V fnma(V a, V b, V c) { return {_mm256_fnmadd_ps(a.r, b.r, c.r)}; }
RL_INLINE V max(V a, V b) { return {_mm256_max_ps(a.r, b.r)}; }
RL_INLINE V min(V a, V b) { return {_mm256_min_ps(a.r, b.r)}; }
RL_INLINE V sqrt(V a) { return {_mm256_sqrt_ps(a.r)}; }
RL_INLINE V round(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
RL_INLINE V floor(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)}; }
RL_INLINE V ceil(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)}; }
RL_INLINE V trunc(V a) { return {_mm256_round_ps(a.r, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)}; }

RL_INLINE V to_float(VI a) { return {_mm256_cvtepi32_ps(a.r)}; }
RL_INLINE VI round_int(V a) { return {_mm256_cvtps_epi32(a.r)}; }
RL_INLINE VI truncate_int(V a) { return {_mm256_cvttps_epi32(a.r)}; }
RL_INLINE VI bits(V a) { return {_mm256_castps_si256(a.r)}; }
RL_INLINE V from_bits(VI a) { return {_mm256_castsi256_ps(a.r)}; }

RL_INLINE VI operator+(VI a, VI b) { return {_mm256_add_epi32(a.r, b.r)}; }
RL_INLINE VI operator-(VI a, VI b) { return {_mm256_sub_epi32(a.r, b.r)}; }
RL_INLINE VI operator*(VI a, VI b) { return {_mm256_mullo_epi32(a.r, b.r)}; }
RL_INLINE VI operator&(VI a, VI b) { return {_mm256_and_si256(a.r, b.r)}; }
RL_INLINE VI operator|(VI a, VI b) { return {_mm256_or_si256(a.r, b.r)}; }
RL_INLINE VI operator^(VI a, VI b) { return {_mm256_xor_si256(a.r, b.r)}; }
template <int K>
RL_INLINE VI shift_left(VI a) {
  return {_mm256_slli_epi32(a.r, K)};
}
template <int K>
RL_INLINE VI shift_right(VI a) {  // arithmetic
  return {_mm256_srai_epi32(a.r, K)};
}
RL_INLINE VI max_i(VI a, VI b) { return {_mm256_max_epi32(a.r, b.r)}; }
RL_INLINE VI min_i(VI a, VI b) { return {_mm256_min_epi32(a.r, b.r)}; }

RL_INLINE M eq(V a, V b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_EQ_OQ)}; }
RL_INLINE M lt(V a, V b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_LT_OQ)}; }
RL_INLINE M le(V a, V b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_LE_OQ)}; }
RL_INLINE M eq_i(VI a, VI b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.r, b.r))}; }
RL_INLINE M lt_i(VI a, VI b) { return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(b.r, a.r))}; }
RL_INLINE M operator&(M a, M b) { return {_mm256_and_ps(a.r, b.r)}; }
RL_INLINE M operator|(M a, M b) { return {_mm256_or_ps(a.r, b.r)}; }
RL_INLINE M operator!(M a) { return {_mm256_xor_ps(a.r, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))}; }
RL_INLINE M first_lanes(int n) { return {_mm256_castsi256_ps(lane_mask(n))}; }
RL_INLINE bool any(M a) { return _mm256_movemask_ps(a.r) != 0; }
RL_INLINE uint32_t lane_bits(M a) { return uint32_t(_mm256_movemask_ps(a.r)); }
RL_INLINE V select(M m, V a, V b) { return {_mm256_blendv_ps(b.r, a.r, m.r)}; }
RL_INLINE VI select_i(M m, VI a, VI b) { return {_mm256_blendv_epi8(b.r, a.r, _mm256_castps_si256(m.r))}; }
RL_INLINE M mask_of_bytes(__m128i bytes) {
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_cvtepu8_epi32(bytes), _mm256_setzero_si256()))};
}
RL_INLINE M load_mask(const uint8_t* p) { return mask_of_bytes(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))); }
RL_INLINE M load_mask_n(const uint8_t* p, int n) { return mask_of_bytes(load_bytes_n(p, n)); }
RL_INLINE VI ones_of(M m) { return {_mm256_srli_epi32(_mm256_castps_si256(m.r), 31)}; }
RL_INLINE void store_mask(uint8_t* p, M m) { store_u8(p, ones_of(m)); }
RL_INLINE void store_mask_n(uint8_t* p, M m, int n) { store_u8_n(p, ones_of(m), n); }

RL_INLINE float first(V a) { return _mm256_cvtss_f32(a.r); }
template <int K>
RL_INLINE V down(V a) {
  static_assert(K == 4 || K == 2 || K == 1);
  if constexpr (K == 4) return {_mm256_permute2f128_ps(a.r, a.r, 1)};
  if constexpr (K == 2) return {_mm256_permute_ps(a.r, 0x4E)};
  return {_mm256_permute_ps(a.r, 0xB1)};
}

}  // namespace
}  // namespace rushlight
