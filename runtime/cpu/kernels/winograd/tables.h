// Tables of kernels, for ISA files only.
#pragma once

#include "kernels/gemm/activate.h"
#include "kernels/vec/vnni.h"
#include "kernels/winograd/transform_f32.h"
#include "kernels/winograd/transform_u8s8.h"

namespace rushlight {
namespace {

// A step of two s16.
struct StepS16 {
  using Acc = VI;
  static RL_INLINE VI start() { return set_i(0); }
  static RL_INLINE VI broadcast(const std::byte* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void store(std::byte* p, VI a) { store_i(reinterpret_cast<int32_t*>(p), a); }
  static RL_INLINE void multiply_add(VI& acc, VI a, VI b) {
#if defined(RL_VNNI)
    dot_words(acc, a, b);
#elif defined(__AVX512BW__)
    acc = acc + VI{_mm512_madd_epi16(a.r, b.r)};
#elif defined(__AVX2__)
    acc = acc + VI{_mm256_madd_epi16(a.r, b.r)};
#elif defined(RL_NEON)
    acc.r = add_pair_products(acc.r, vreinterpretq_s16_s32(a.r), vreinterpretq_s16_s32(b.r));
#else
    for (int i = 0; i < kWidth; ++i) {
      const int32_t x = a.lane[i], w = b.lane[i];
      const int32_t low = int16_t(x) * int16_t(w), high = (x >> 16) * (w >> 16);
      acc.lane[i] = int32_t(uint32_t(acc.lane[i]) + uint32_t(low) + uint32_t(high));
    }
#endif
  }
};

template <class Step, int Height>
constexpr WinogradKernel narrow_f32() {
  return {16,
          sizeof(float),
          sizeof(float),
          {transform_patch<Two>, transform_patch<Four>},
          {multiply<Step, 1, Height>, nullptr, nullptr},
          {transform_result<Two>, transform_result<Four>},
          {nullptr, nullptr},
          activate};
}

template <class Step>
constexpr WinogradKernel wide_f32() {
  return {32,
          sizeof(float),
          sizeof(float),
          {transform_patch<Two>, transform_patch<Four>},
          {multiply<Step, 1, 12>, multiply<Step, 2, 12>, multiply<Step, 3, kWinogradLowHeight>},
          {transform_result<Two>, transform_result<Four>},
          {nullptr, nullptr},
          activate};
}

template <class Step, class Dst, int Height>
constexpr WinogradKernel narrow_u8s8() {
  return {16,
          sizeof(uint8_t),
          sizeof(Dst),
          {transform_byte_patch<WholeTwo>, transform_byte_patch<WholeFour>},
          {multiply<Step, 1, Height>, nullptr, nullptr},
          {transform_sums<WholeTwo, Dst>, transform_sums<WholeFour, Dst>},
          {add_sums<WholeTwo>, add_sums<WholeFour>},
          activate};
}

template <class Step, class Dst>
constexpr WinogradKernel wide_u8s8() {
  return {32,
          sizeof(uint8_t),
          sizeof(Dst),
          {transform_byte_patch<WholeTwo>, transform_byte_patch<WholeFour>},
          {multiply<Step, 1, 12>, multiply<Step, 2, 12>, multiply<Step, 3, kWinogradLowHeight>},
          {transform_sums<WholeTwo, Dst>, transform_sums<WholeFour, Dst>},
          {add_sums<WholeTwo>, add_sums<WholeFour>},
          activate};
}

}  // namespace
}  // namespace rushlight
