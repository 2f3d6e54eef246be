#include "kernels/gemm/tables.h"

namespace rushlight {

namespace {

struct StepU8x4 {
  using Acc = VI;
  static RL_INLINE VI broadcast(const std::byte* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void multiply_add(VI& acc, const VI& a, const VI& b) {
    for (int byte = 0; byte < 4; ++byte) {
      for (int i = 0; i < kWidth; ++i) {
        acc.lane[i] += int32_t(uint8_t(a.lane[i] >> (8 * byte))) * int32_t(int8_t(b.lane[i] >> (8 * byte)));
      }
    }
  }
};

constexpr GemmKernel kF32 =
    narrow_kernel<TileF32, float, kGenericHeights>(GemmStep::f32, tiles_gemm_f32f32f32_2x16_generic);

template <V (*Load)(const uint16_t*)>
constexpr GemmKernel half_kernel(const GemmTiles& tiles) {
  return reading_halves<Load>(
      narrow_kernel<TileF32By<HalfStep<StepF32, Load>>, float, kGenericHeights>(GemmStep::f32, tiles), kF32);
}

}  // namespace

void gemm_f32f32f32_2x16_generic(const Call& call, int64_t begin, int64_t end) { run_gemm(kF32, call, begin, end); }

void gemm_f32f16f32_2x16_generic(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = half_kernel<load_f16>(tiles_gemm_f32f16f32_2x16_generic);
  run_gemm(kernel, call, begin, end);
}

void gemm_f32bf16f32_2x16_generic(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = half_kernel<load_bf16>(tiles_gemm_f32bf16f32_2x16_generic);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8u8_2x16_generic(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = narrow_kernel<TileU8S8<StepU8x4, uint8_t>, uint8_t, kGenericHeights>(
      GemmStep::u8x4, tiles_gemm_u8s8u8_2x16_generic);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8f32_2x16_generic(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      narrow_kernel<TileU8S8<StepU8x4, float>, float, kGenericHeights>(GemmStep::u8x4, tiles_gemm_u8s8f32_2x16_generic);
  run_gemm(kernel, call, begin, end);
}

}  // namespace rushlight
