#include "kernels/resize/generic.h"

#include "kernels/move/rows.h"

namespace rushlight {

void linear_f32_1x16_generic(const Call& call, int64_t begin, int64_t end) { interpolate<2>(call, begin, end); }
void cubic_f32_1x16_generic(const Call& call, int64_t begin, int64_t end) { interpolate<4>(call, begin, end); }

void nearest_x8_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const ResizeParams*>(call.params);
  const Axis height{p.ih, p.oh, p.scale_h}, width{p.iw, p.ow, p.scale_w};
  auto* const columns = reinterpret_cast<int64_t*>(call.scratch);
  for (int64_t ox = 0; ox < p.ow; ++ox) columns[ox] = nearest_of(p, width, ox);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t y = task / p.oh * p.ih + nearest_of(p, height, task % p.oh);
    const auto* const src = static_cast<const uint8_t*>(call.operand[kResizeSrc]) + y * p.iw * p.c;
    auto* const dst = static_cast<uint8_t*>(call.operand[kResizeDst]) + task * p.ow * p.c;
    for (int64_t ox = 0; ox < p.ow; ++ox) copy_row(src + columns[ox] * p.c, dst + ox * p.c, p.c);
  }
}

}  // namespace rushlight
