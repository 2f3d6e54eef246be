#include "kernels/gemm/pack.h"

#include <algorithm>
#include <cstring>

namespace rushlight {

namespace {

// Element: what the weights are; Stored: what a step holds kDepth of.
template <class Element, class Stored, int64_t kDepth = kStepBytes / int64_t(sizeof(Stored))>
void pack_matrix(const GemmFormat& format, const GemmParams& p, const Element* src, std::byte* dst) {
  const GemmLayout layout = gemm_layout(format, p);
  const uint32_t shift = format.step == GemmStep::s8x4 ? 128 : 0;  // of src
  const int64_t taps = p.kh * p.kw, run_steps = ceil_div(p.kw * p.k, kDepth);
  const int64_t column_stride = p.weight_is_kn ? 1 : p.k * taps, channel_stride = p.weight_is_kn ? p.n : taps;
  std::memset(dst, 0, size_t(layout.bytes()));
  for (int64_t index = 0; index < layout.panels(); ++index) {
    const GemmPanel panel = layout.panel(index);
    const int64_t width = panel.granules * kGranule;
    for (int64_t begin = 0; begin < width; begin += kGranule) {
      const int64_t columns = std::min(kGranule, p.n - panel.column - begin);
      const Element* const first = src + (panel.column + begin) * column_stride;
      Stored* const out =
          reinterpret_cast<Stored*>(dst + panel.offset + width * layout.header_bytes()) + begin * kDepth;
      uint32_t sum[kGranule] = {};  // int32 arithmetic that wraps
      for (int64_t tap = 0; tap < taps; ++tap) {
        Stored* const run = out + tap / p.kw * run_steps * width * kDepth;
        for (int64_t c = 0; c < p.k; ++c) {
          const int64_t at = tap % p.kw * p.k + c;
          const Element* const from = first + tap + c * channel_stride;
          Stored* const to = run + at / kDepth * width * kDepth + at % kDepth;
          for (int64_t j = 0; j < columns; ++j) {
            const Element weight = from[j * column_stride];
            to[j * kDepth] = Stored(weight);
            if constexpr (sizeof(Element) == 1) sum[j] += uint32_t(int32_t(weight));
          }
        }
      }
      if constexpr (sizeof(Element) == 1) {
        uint32_t correction[kGranule];
        for (int64_t j = 0; j < kGranule; ++j) correction[j] = (shift - uint32_t(p.src_zero_point)) * sum[j];
        std::memcpy(dst + panel.offset + begin * kStepBytes, correction, sizeof correction);
      }
    }
  }
}

}  // namespace

void pack_weights(const GemmFormat& format, const GemmParams& p, const void* src, std::byte* dst) {
  const int64_t elements = p.n * p.k * p.kh * p.kw, bytes = gemm_layout(format, p).bytes();
  for (int64_t i = 0; i < p.weights; ++i, dst += bytes) {
    switch (format.step) {
      case GemmStep::f32:
        if (format.step_bytes < kStepBytes) {
          pack_matrix<uint16_t, uint16_t, 1>(format, p, static_cast<const uint16_t*>(src) + i * elements, dst);
          break;
        }
        pack_matrix<float, float>(format, p, static_cast<const float*>(src) + i * elements, dst);
        break;
      case GemmStep::u8x4:
      case GemmStep::u8x64:
      case GemmStep::s8x4:
        pack_matrix<int8_t, int8_t>(format, p, static_cast<const int8_t*>(src) + i * elements, dst);
        break;
      case GemmStep::s16x2:
        pack_matrix<int8_t, int16_t>(format, p, static_cast<const int8_t*>(src) + i * elements, dst);
        break;
    }
  }
}

}  // namespace rushlight
