// Transposes of square blocks in registers; for ISA files.
#pragma once

#include <cstdint>

#include "kernels/vec/vec.h"  // immintrin.h without what GCC 12 says of it

namespace rushlight {
namespace {

inline __m128i load_half(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline void store_half(void* p, __m128i a) { _mm_storeu_si128(static_cast<__m128i*>(p), a); }

struct Block8 {
  static constexpr int kSize = 16;
  static void transpose(const uint8_t* src, int64_t src_stride, uint8_t* dst, int64_t dst_stride) {
    __m128i a[16], b[16];
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) a[k] = load_half(src + k * src_stride);
    // Interleaving rows k and k + 8 four times moves each element to its place.
#pragma GCC unroll 2
    for (int round = 0; round < 2; ++round) {
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        b[2 * k] = _mm_unpacklo_epi8(a[k], a[k + 8]);
        b[2 * k + 1] = _mm_unpackhi_epi8(a[k], a[k + 8]);
      }
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        a[2 * k] = _mm_unpacklo_epi8(b[k], b[k + 8]);
        a[2 * k + 1] = _mm_unpackhi_epi8(b[k], b[k + 8]);
      }
    }
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) store_half(dst + k * dst_stride, a[k]);
  }
};

struct Block16 {
  static constexpr int kSize = 8;
  static void transpose(const uint16_t* src, int64_t src_stride, uint16_t* dst, int64_t dst_stride) {
    __m128i a[8], b[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) a[k] = load_half(src + k * src_stride);
#pragma GCC unroll 3
    for (int round = 0; round < 3; ++round) {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        b[2 * k] = _mm_unpacklo_epi16(a[k], a[k + 4]);
        b[2 * k + 1] = _mm_unpackhi_epi16(a[k], a[k + 4]);
      }
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) a[k] = b[k];
    }
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) store_half(dst + k * dst_stride, a[k]);
  }
};

struct Block32 {
  static constexpr int kSize = 8;
  static void transpose(const uint32_t* src, int64_t src_stride, uint32_t* dst, int64_t dst_stride) {
    __m256 a[8], b[8];
    // Row k and row k + 4 share a register: its halves hold columns 0-3, or 4-7 in the second four registers.
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      const auto* low = reinterpret_cast<const float*>(src + k * src_stride);
      const auto* high = reinterpret_cast<const float*>(src + (k + 4) * src_stride);
      a[k] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
      a[k + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)), _mm_loadu_ps(high + 4), 1);
    }
#pragma GCC unroll 2
    for (int half = 0; half < 8; half += 4) {
      b[half] = _mm256_unpacklo_ps(a[half], a[half + 1]);
      b[half + 1] = _mm256_unpackhi_ps(a[half], a[half + 1]);
      b[half + 2] = _mm256_unpacklo_ps(a[half + 2], a[half + 3]);
      b[half + 3] = _mm256_unpackhi_ps(a[half + 2], a[half + 3]);
      a[half] = _mm256_shuffle_ps(b[half], b[half + 2], 0x44);
      a[half + 1] = _mm256_shuffle_ps(b[half], b[half + 2], 0xEE);
      a[half + 2] = _mm256_shuffle_ps(b[half + 1], b[half + 3], 0x44);
      a[half + 3] = _mm256_shuffle_ps(b[half + 1], b[half + 3], 0xEE);
    }
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) _mm256_storeu_ps(reinterpret_cast<float*>(dst + k * dst_stride), a[k]);
  }

  // Each source holds every third element of each result: where, in all three, is one permutation.
  static void interleave3(const uint32_t* src, int64_t src_stride, uint32_t* dst) {
    const auto spread = [](const uint32_t* p, __m256i order) {
      return _mm256_permutevar8x32_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), order);
    };
    const __m256i x = spread(src, _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5));
    const __m256i y = spread(src + src_stride, _mm256_setr_epi32(5, 0, 3, 6, 1, 4, 7, 2));
    const __m256i z = spread(src + 2 * src_stride, _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7));
    const auto store = [](uint32_t* p, __m256i a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); };
    store(dst, _mm256_blend_epi32(_mm256_blend_epi32(x, y, 0x92), z, 0x24));
    store(dst + 8, _mm256_blend_epi32(_mm256_blend_epi32(x, y, 0x24), z, 0x49));
    store(dst + 16, _mm256_blend_epi32(_mm256_blend_epi32(x, y, 0x49), z, 0x92));
  }
};

struct Block64 {
  static constexpr int kSize = 4;
  static void transpose(const uint64_t* src, int64_t src_stride, uint64_t* dst, int64_t dst_stride) {
    __m256i a[4], b[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) a[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src + k * src_stride));
#pragma GCC unroll 2
    for (int k = 0; k < 4; k += 2) {
      b[k] = _mm256_unpacklo_epi64(a[k], a[k + 1]);
      b[k + 1] = _mm256_unpackhi_epi64(a[k], a[k + 1]);
    }
#pragma GCC unroll 2
    for (int k = 0; k < 2; ++k) {
      a[k] = _mm256_permute2x128_si256(b[k], b[k + 2], 0x20);
      a[k + 2] = _mm256_permute2x128_si256(b[k], b[k + 2], 0x31);
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + k * dst_stride), a[k]);
  }
};

}  // namespace
}  // namespace rushlight
