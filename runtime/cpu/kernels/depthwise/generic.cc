#include "kernels/depthwise/f32.h"

namespace rushlight {
namespace {

// Where kernel row ky and column kx of output (oy, ox) read, null outside of the image.
const uint8_t* find_tap(const DepthwiseParams& p, const uint8_t* image, int64_t oy, int64_t ox, int64_t ky,
                        int64_t kx) {
  const int64_t y = oy * p.sh - p.ph + ky * p.dh, x = ox * p.sw - p.pw + kx * p.dw;
  return y < 0 || y >= p.ih || x < 0 || x >= p.iw ? nullptr : image + (y * p.iw + x) * p.src_pixel;
}

void store(const DepthwiseParams& p, float v, const uint8_t* residual, uint8_t* dst) {
  if (residual) v = __builtin_fmaf(float(*residual), p.residual_scale, v);
  const Bounds bounds = byte_bounds(p);
  v = __builtin_rintf(v < bounds.hi ? v : bounds.hi);
  *dst = uint8_t(v > bounds.lo ? v : bounds.lo);
}

void store(const DepthwiseParams&, float v, const float*, float* dst) { *dst = v; }

template <class Dst>
void depthwise_u8s8(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const DepthwiseParams*>(call.params);
  const auto* src = static_cast<const uint8_t*>(call.operand[kDepthwiseSrc]);
  const auto* start = static_cast<const int32_t*>(call.operand[kDepthwiseWeight]);
  const auto* weight = reinterpret_cast<const int8_t*>(start + p.c);
  const auto* scale = static_cast<const float*>(call.operand[kDepthwiseScale]);
  const auto* bias = static_cast<const float*>(call.operand[kDepthwiseBias]);
  const auto* residual = static_cast<const Dst*>(call.operand[kDepthwiseResidual]);
  auto* dst = static_cast<Dst*>(call.operand[kDepthwiseDst]);
  const Split split = split_tasks(p, 1, 1);
  for (int64_t index = begin; index < end; ++index) {
    const Task task = find_task(p, split, index);
    const uint8_t* const image = src + task.image * p.ih * p.iw * p.src_pixel;
    for (int64_t oy = task.row; oy < task.row_end; ++oy)
      for (int64_t ox = 0; ox < p.ow; ++ox) {
        const int64_t pixel = (task.image * p.oh + oy) * p.ow + ox;
        Dst* const to = dst + pixel * p.dst_pixel;
        const Dst* const from = residual ? residual + pixel * p.residual_pixel : nullptr;
        for (int64_t c = task.channel; c < task.channel + task.channels; ++c) {
          int32_t sum = start[c];
          for (int64_t ky = 0; ky < p.kh; ++ky)
            for (int64_t kx = 0; kx < p.kw; ++kx) {
              const uint8_t* const x = find_tap(p, image, oy, ox, ky, kx);
              sum += int32_t(x ? x[c] : p.src_zero_point) * weight[(ky * p.kw + kx) * p.c + c];
            }
          store(p, __builtin_fmaf(float(sum), scale[c], bias[c]), from ? from + c : nullptr, to + c);
        }
        if constexpr (sizeof(Dst) > 1)
          finish_pixel(p, to + task.channel, from ? from + task.channel : nullptr, task.channels);
      }
  }
}

}  // namespace

void depthwise_f32_7x16_generic(const Call& call, int64_t begin, int64_t end) {
  depthwise_f32_any<1>(call, begin, end);
}
void depthwise_u8s8u8_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<uint8_t>(call, begin, end);
}
void depthwise_u8s8f32_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<float>(call, begin, end);
}

}  // namespace rushlight
