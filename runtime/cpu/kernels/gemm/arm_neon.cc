#include "kernels/gemm/tables.h"

namespace rushlight {

namespace {

// FMLA takes one lane of a register: loading it is all that a broadcast needs.
struct StepF32Lane {
  using Acc = V;
  static RL_INLINE float32x4_t broadcast(const std::byte* p) { return vreinterpretq_f32_u32(load_lane(p)); }
  static RL_INLINE V load(const std::byte* p) { return rushlight::load(reinterpret_cast<const float*>(p)); }
  static RL_INLINE void multiply_add(V& acc, float32x4_t a, V b) { acc.r = vfmaq_laneq_f32(acc.r, b.r, a, 0); }
};

// No dot products: pairs of s16, whose products and sums SMLAL holds exactly.
struct StepS16x2 {
  using Acc = VI;
  static RL_INLINE int16x4_t broadcast(const std::byte* p) {
    return vreinterpret_s16_s32(vdup_n_s32(*reinterpret_cast<const int32_t*>(p)));
  }
  static RL_INLINE int16x4x2_t load(const std::byte* p) { return vld2_s16(reinterpret_cast<const int16_t*>(p)); }
  static RL_INLINE void multiply_add(VI& acc, int16x4_t a, int16x4x2_t b) {
    acc.r = vmlal_lane_s16(vmlal_lane_s16(acc.r, b.val[0], a, 0), b.val[1], a, 1);
  }
};

constexpr GemmKernel kF32 = narrow_kernel<TileF32By<StepF32Lane>, float>(GemmStep::f32, tiles_gemm_f32f32f32_6x16_neon);

template <V (*Load)(const uint16_t*)>
constexpr GemmKernel half_kernel(const GemmTiles& tiles) {
  return reading_halves<Load>(narrow_kernel<TileF32By<HalfStep<StepF32Lane, Load>>, float>(GemmStep::f32, tiles), kF32);
}

}  // namespace

void gemm_f32f32f32_6x16_neon(const Call& call, int64_t begin, int64_t end) { run_gemm(kF32, call, begin, end); }

void gemm_f32f16f32_6x16_neon(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = half_kernel<load_f16>(tiles_gemm_f32f16f32_6x16_neon);
  run_gemm(kernel, call, begin, end);
}

void gemm_f32bf16f32_6x16_neon(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = half_kernel<load_bf16>(tiles_gemm_f32bf16f32_6x16_neon);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8u8_4x16_neon(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      narrow_kernel<TileU8S8<StepS16x2, uint8_t>, uint8_t, kLowHeights>(GemmStep::s16x2, tiles_gemm_u8s8u8_4x16_neon);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8f32_4x16_neon(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      narrow_kernel<TileU8S8<StepS16x2, float>, float, kLowHeights>(GemmStep::s16x2, tiles_gemm_u8s8f32_4x16_neon);
  run_gemm(kernel, call, begin, end);
}

}  // namespace rushlight
