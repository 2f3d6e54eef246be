#include "kernels/resize/generic.h"

namespace rushlight {

void linear_f32_1x4_neon(const Call& call, int64_t begin, int64_t end) { interpolate<2>(call, begin, end); }
void cubic_f32_1x4_neon(const Call& call, int64_t begin, int64_t end) { interpolate<4>(call, begin, end); }

}  // namespace rushlight
