#include "kernels/gemm/activate.h"
#include "kernels/winograd/transform.h"

namespace rushlight {

void winograd_f32_12x32_avx512(const Call& call, int64_t begin, int64_t end) {
  static constexpr WinogradKernel kernel = {32,
                                            {transform_patch<Two>, transform_patch<Four>},
                                            {multiply<1, 12>, multiply<2, 12>, multiply<3, 8>},
                                            {transform_result<Two>, transform_result<Four>},
                                            activate};
  run_winograd(kernel, call, begin, end);
}

}  // namespace rushlight
