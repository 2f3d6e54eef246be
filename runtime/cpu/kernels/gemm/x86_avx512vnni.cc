#include "kernels/gemm/step_vnni.h"
#include "kernels/gemm/tables.h"

namespace rushlight {

void gemm_u8s8u8_6x64_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      wide_kernel<TileU8S8<StepU8x4, uint8_t>, uint8_t>(GemmStep::u8x4, tiles_gemm_u8s8u8_6x64_avx512vnni);
  run_gemm(kernel, call, begin, end);
}

void gemm_u8s8f32_6x64_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel =
      wide_kernel<TileU8S8<StepU8x4, float>, float>(GemmStep::u8x4, tiles_gemm_u8s8f32_6x64_avx512vnni);
  run_gemm(kernel, call, begin, end);
}

}  // namespace rushlight
