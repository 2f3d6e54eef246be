#include "kernels/gemm/tables.h"

namespace rushlight {

namespace {

struct StepU8x4 {
  using Acc = VI;
  static RL_INLINE VI broadcast(const std::byte* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  // Not the intrinsic: GCC 12 copies its accumulators through the stack.
  static RL_INLINE void multiply_add(VI& acc, VI a, VI b) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc.r) : "x"(a.r), "x"(b.r));
  }
};

}  // namespace

void gemm_u8s8u8_6x16_avxvnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = narrow_kernel<TileU8S8<StepU8x4, uint8_t>, uint8_t>(GemmStep::u8x4);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8f32_6x16_avxvnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = narrow_kernel<TileU8S8<StepU8x4, float>, float>(GemmStep::u8x4);
  run_gemm(kernel, call, begin, end);
}

}  // namespace rushlight
