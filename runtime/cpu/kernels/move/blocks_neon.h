// Transposes of square blocks in registers; for ISA files.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace rushlight {
namespace {

inline uint8x16_t load_row(const uint8_t* p) { return vld1q_u8(p); }
inline uint16x8_t load_row(const uint16_t* p) { return vld1q_u16(p); }
inline uint32x4_t load_row(const uint32_t* p) { return vld1q_u32(p); }
inline uint64x2_t load_row(const uint64_t* p) { return vld1q_u64(p); }
inline void store_row(uint8_t* p, uint8x16_t a) { vst1q_u8(p, a); }
inline void store_row(uint16_t* p, uint16x8_t a) { vst1q_u16(p, a); }
inline void store_row(uint32_t* p, uint32x4_t a) { vst1q_u32(p, a); }
inline void store_row(uint64_t* p, uint64x2_t a) { vst1q_u64(p, a); }
inline uint8x16_t interleave_low(uint8x16_t a, uint8x16_t b) { return vzip1q_u8(a, b); }
inline uint16x8_t interleave_low(uint16x8_t a, uint16x8_t b) { return vzip1q_u16(a, b); }
inline uint32x4_t interleave_low(uint32x4_t a, uint32x4_t b) { return vzip1q_u32(a, b); }
inline uint64x2_t interleave_low(uint64x2_t a, uint64x2_t b) { return vzip1q_u64(a, b); }
inline uint8x16_t interleave_high(uint8x16_t a, uint8x16_t b) { return vzip2q_u8(a, b); }
inline uint16x8_t interleave_high(uint16x8_t a, uint16x8_t b) { return vzip2q_u16(a, b); }
inline uint32x4_t interleave_high(uint32x4_t a, uint32x4_t b) { return vzip2q_u32(a, b); }
inline uint64x2_t interleave_high(uint64x2_t a, uint64x2_t b) { return vzip2q_u64(a, b); }

// As many rows as a register has elements. Interleaving rows k and k + kSize / 2, as many times as kSize can be halved,
// moves each element to its place.
template <class T>
struct RegisterBlock {
  static constexpr int kSize = 16 / int(sizeof(T));
  static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
    decltype(load_row(src)) a[kSize], b[kSize];
#pragma GCC unroll 16
    for (int k = 0; k < kSize; ++k) a[k] = load_row(src + k * src_stride);
#pragma GCC unroll 4
    for (int rest = kSize; rest > 1; rest /= 2) {
#pragma GCC unroll 8
      for (int k = 0; k < kSize / 2; ++k) {
        b[2 * k] = interleave_low(a[k], a[k + kSize / 2]);
        b[2 * k + 1] = interleave_high(a[k], a[k + kSize / 2]);
      }
#pragma GCC unroll 16
      for (int k = 0; k < kSize; ++k) a[k] = b[k];
    }
#pragma GCC unroll 16
    for (int k = 0; k < kSize; ++k) store_row(dst + k * dst_stride, a[k]);
  }
};

using Block8 = RegisterBlock<uint8_t>;
using Block16 = RegisterBlock<uint16_t>;
using Block32 = RegisterBlock<uint32_t>;
using Block64 = RegisterBlock<uint64_t>;

}  // namespace
}  // namespace rushlight
