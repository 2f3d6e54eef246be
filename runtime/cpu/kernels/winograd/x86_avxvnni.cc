#include "kernels/winograd/tables.h"

namespace rushlight {

namespace {

struct StepS16Vnni : StepS16 {
  // Not the intrinsic: GCC 12 copies its accumulators through the stack.
  static RL_INLINE void multiply_add(VI& acc, VI a, VI b) {
    asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc.r) : "x"(a.r), "x"(b.r));
  }
};

}  // namespace

void winograd_u8s8u8_6x16_avxvnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = narrow_u8s8<StepS16Vnni, uint8_t, 6>();
  run_winograd(kernel, call, begin, end);
}

void winograd_u8s8f32_6x16_avxvnni(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = narrow_u8s8<StepS16Vnni, float, 6>();
  run_winograd(kernel, call, begin, end);
}

}  // namespace rushlight
