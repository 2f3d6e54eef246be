#include "kernels/gemm/tables.h"

namespace rushlight {

namespace {

// SDOT multiplies s8 by s8: src is read as 128 less than it is, the packed sums make up for it.
struct StepS8x4 {
  using Acc = VI;
  static RL_INLINE int8x16_t flipped(uint8x16_t a) { return vreinterpretq_s8_u8(veorq_u8(a, vdupq_n_u8(0x80))); }
  static RL_INLINE int8x16_t broadcast(const std::byte* p) { return flipped(vreinterpretq_u8_u32(load_lane(p))); }
  static RL_INLINE int8x16_t load(const std::byte* p) { return vld1q_s8(reinterpret_cast<const int8_t*>(p)); }
  static RL_INLINE void multiply_add(VI& acc, int8x16_t a, int8x16_t b) { acc.r = vdotq_laneq_s32(acc.r, b, a, 0); }

  // Flips the bits of four steps at once.
  static constexpr int kGroup = 4;
  using Group = int8x16_t;
  static RL_INLINE Group load_group(const std::byte* p) {
    return flipped(vld1q_u8(reinterpret_cast<const uint8_t*>(p)));
  }
  template <int Lane>
  static RL_INLINE void multiply_add_lane(VI& acc, Group a, int8x16_t b) {
    acc.r = vdotq_laneq_s32(acc.r, b, a, Lane);
  }
};

}  // namespace

void gemm_u8s8u8_6x16_neondot(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      narrow_kernel<TileU8S8<StepS8x4, uint8_t>, uint8_t>(GemmStep::s8x4, tiles_gemm_u8s8u8_6x16_neondot);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8f32_6x16_neondot(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      narrow_kernel<TileU8S8<StepS8x4, float>, float>(GemmStep::s8x4, tiles_gemm_u8s8f32_6x16_neondot);
  run_gemm(kernel, call, begin, end);
}

}  // namespace rushlight
