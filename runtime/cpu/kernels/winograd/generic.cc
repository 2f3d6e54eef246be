#include "kernels/gemm/activate.h"
#include "kernels/winograd/transform.h"

namespace rushlight {

void winograd_f32_2x16_generic(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = {16,
                                            {transform_patch<Two>, transform_patch<Four>},
                                            {multiply<1, 2>, nullptr, nullptr},
                                            {transform_result<Two>, transform_result<Four>},
                                            activate};
  run_winograd(kernel, call, begin, end);
}

}  // namespace rushlight
