#include "kernels/winograd/tables.h"

namespace rushlight {

void winograd_u8s8u8_12x32_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = wide_u8s8<StepS16, uint8_t>();
  run_winograd(kernel, call, begin, end);
}

void winograd_u8s8f32_12x32_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = wide_u8s8<StepS16, float>();
  run_winograd(kernel, call, begin, end);
}

}  // namespace rushlight
