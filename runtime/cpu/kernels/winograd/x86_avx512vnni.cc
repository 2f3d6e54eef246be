#include "kernels/winograd/tables.h"

namespace rushlight {

namespace {

struct StepS16Vnni : StepS16 {
  // Not the intrinsic: GCC 12 copies its accumulators through the stack.
  static RL_INLINE void multiply_add(VI& acc, VI a, VI b) {
    asm("vpdpwssd %2, %1, %0" : "+v"(acc.r) : "v"(a.r), "v"(b.r));
  }
};

}  // namespace

void winograd_u8s8u8_12x32_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = wide_u8s8<StepS16Vnni, uint8_t>();
  run_winograd(kernel, call, begin, end);
}

void winograd_u8s8f32_12x32_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = wide_u8s8<StepS16Vnni, float>();
  run_winograd(kernel, call, begin, end);
}

}  // namespace rushlight
