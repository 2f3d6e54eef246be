#include "kernels/gemm/tables.h"

namespace rushlight {

namespace {

// No VNNI: pairs of s16, whose products and sum of two vpmaddwd holds exactly.
struct StepS16x2 {
  using Acc = VI;
  static RL_INLINE VI broadcast(const std::byte* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void multiply_add(VI& acc, VI a, VI b) { acc = acc + VI{_mm512_madd_epi16(a.r, b.r)}; }
};

constexpr GemmKernel kF32 = wide_kernel<TileF32, float>(GemmStep::f32, tiles_gemm_f32f32f32_6x64_avx512);

template <V (*Load)(const uint16_t*)>
constexpr GemmKernel half_kernel(const GemmTiles& tiles) {
  return reading_halves<Load>(wide_kernel<TileF32By<HalfStep<StepF32, Load>>, float>(GemmStep::f32, tiles), kF32);
}

}  // namespace

void gemm_f32f32f32_6x64_avx512(const Call& call, int64_t begin, int64_t end) { run_gemm(kF32, call, begin, end); }

void gemm_f32f16f32_6x64_avx512(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = half_kernel<load_f16>(tiles_gemm_f32f16f32_6x64_avx512);
  run_gemm(kernel, call, begin, end);
}

void gemm_f32bf16f32_6x64_avx512(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = half_kernel<load_bf16>(tiles_gemm_f32bf16f32_6x64_avx512);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8u8_6x64_avx512(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      wide_kernel<TileU8S8<StepS16x2, uint8_t>, uint8_t>(GemmStep::s16x2, tiles_gemm_u8s8u8_6x64_avx512);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8f32_6x64_avx512(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      wide_kernel<TileU8S8<StepS16x2, float>, float>(GemmStep::s16x2, tiles_gemm_u8s8f32_6x64_avx512);
  run_gemm(kernel, call, begin, end);
}

}  // namespace rushlight
