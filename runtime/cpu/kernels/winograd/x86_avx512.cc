#include "kernels/winograd/transform.h"

namespace rushlight {

void winograd_f32_6x64_avx512(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = winograd_kernel(wide_kernel<TileF32, float>(GemmStep::f32));
  run_winograd(kernel, call, begin, end);
}

}  // namespace rushlight
