#include "kernels/gemm/pack.h"

#include <algorithm>
#include <cstring>

namespace rushlight {

namespace {

// Where element (column, position in k order) of one matrix lies.
struct Source {
  int64_t column_stride, taps, channels;
  int64_t tap_stride, channel_stride;

  explicit Source(const GemmParams& p) : taps(p.kh * p.kw), channels(p.k) {
    column_stride = p.weight_is_kn ? 1 : p.k * taps;
    channel_stride = p.weight_is_kn ? p.n : taps;
    tap_stride = 1;
  }
  int64_t depth() const { return taps * channels; }
  int64_t at(int64_t column, int64_t position) const {
    return column * column_stride + position / channels * tap_stride + position % channels * channel_stride;
  }
};

// Element: what the weights are; Stored: what a step holds kDepth of.
template <class Element, class Stored>
void pack_matrix(const GemmFormat& format, const GemmParams& p, const Element* src, std::byte* dst) {
  constexpr int64_t kDepth = kStepBytes / int64_t(sizeof(Stored));
  const GemmLayout layout = gemm_layout(format, p);
  const Source source(p);
  for (int64_t index = 0; index < layout.panels(); ++index) {
    const GemmPanel panel = layout.panel(index);
    const int64_t width = panel.granules * kGranule;
    for (int64_t j = 0; j < width; ++j) {
      const int64_t column = panel.column + j;
      Stored* out = reinterpret_cast<Stored*>(dst + panel.offset + width * layout.header_bytes()) + j * kDepth;
      uint32_t sum = 0;  // int32 arithmetic that wraps
      for (int64_t step = 0; step < layout.steps(); ++step, out += width * kDepth) {
        for (int64_t d = 0; d < kDepth; ++d) {
          const int64_t position = step * kDepth + d;
          const bool inside = column < p.n && position < source.depth();
          out[d] = inside ? Stored(src[source.at(column, position)]) : Stored(0);
          if constexpr (sizeof(Element) == 1) sum += uint32_t(int32_t(out[d]));
        }
      }
      if constexpr (sizeof(Element) == 1) {
        const uint32_t correction = 0u - uint32_t(p.src_zero_point) * sum;
        std::memcpy(dst + panel.offset + j * kStepBytes, &correction, sizeof correction);
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
        pack_matrix<float, float>(format, p, static_cast<const float*>(src) + i * elements, dst);
        break;
      case GemmStep::u8x4:
        pack_matrix<int8_t, int8_t>(format, p, static_cast<const int8_t*>(src) + i * elements, dst);
        break;
      case GemmStep::s16x2:
        pack_matrix<int8_t, int16_t>(format, p, static_cast<const int8_t*>(src) + i * elements, dst);
        break;
    }
  }
}

}  // namespace rushlight
