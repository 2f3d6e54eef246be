#include "kernels/winograd/tables.h"

namespace rushlight {

void winograd_u8s8u8_6x16_avxvnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = narrow_u8s8<StepS16, uint8_t, 6>();
  run_winograd(kernel, call, begin, end);
}

void winograd_u8s8f32_6x16_avxvnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = narrow_u8s8<StepS16, float, 6>();
  run_winograd(kernel, call, begin, end);
}

}  // namespace rushlight
