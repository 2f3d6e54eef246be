#include "kernels/winograd/pack.h"

#include <algorithm>
#include <cstring>

namespace rushlight {

namespace {

constexpr int kTaps = 3, kMostSide = 6;

// One weight of each column of a granule.
template <class Number>
struct Weights {
  Number column[kWinogradGranule] = {};
};

// G g: g's polynomial at the points, over the product of the distances from the point to the others.
void transform(const Weights<double>* g, int64_t stride, int64_t tile, Weights<double>* u, int64_t u_stride) {
  const Weights<double>&g0 = g[0], &g1 = g[stride], &g2 = g[2 * stride];
  constexpr double a = 0.75, b = 1.5, a2 = a * a, b2 = b * b;
  for (int j = 0; j < kWinogradGranule; ++j) {
    const double x0 = g0.column[j], x1 = g1.column[j], x2 = g2.column[j];
    if (tile == 4) {
      const double even_a = (x0 + a2 * x2) / (2 * a2 * (a2 - b2)), odd_a = a * x1 / (2 * a2 * (a2 - b2));
      const double even_b = (x0 + b2 * x2) / (2 * b2 * (b2 - a2)), odd_b = b * x1 / (2 * b2 * (b2 - a2));
      u[0].column[j] = x0 / (a2 * b2);
      u[u_stride].column[j] = even_a + odd_a;
      u[2 * u_stride].column[j] = even_a - odd_a;
      u[3 * u_stride].column[j] = even_b + odd_b;
      u[4 * u_stride].column[j] = even_b - odd_b;
      u[5 * u_stride].column[j] = x2;
    } else {
      u[0].column[j] = -x0;
      u[u_stride].column[j] = (x0 + x2 + x1) / 2;
      u[2 * u_stride].column[j] = (x0 + x2 - x1) / 2;
      u[3 * u_stride].column[j] = x2;
    }
  }
}

// The same at the whole points, not divided.
void transform(const Weights<int>* g, int64_t stride, int64_t tile, Weights<int>* u, int64_t u_stride) {
  const Weights<int>&g0 = g[0], &g1 = g[stride], &g2 = g[2 * stride];
  for (int j = 0; j < kWinogradGranule; ++j) {
    const int x0 = g0.column[j], x1 = g1.column[j], x2 = g2.column[j];
    u[0].column[j] = x0;
    u[u_stride].column[j] = x0 + x2 + x1;
    u[2 * u_stride].column[j] = x0 + x2 - x1;
    if (tile == 4) {
      u[3 * u_stride].column[j] = x0 + 4 * x2 + 2 * x1;
      u[4 * u_stride].column[j] = x0 + 4 * x2 - 2 * x1;
    }
    u[(tile + 1) * u_stride].column[j] = x2;
  }
}

// Element: what the weights are; Number: what they are transformed as; Stored: what a step holds `format.depth` of.
template <class Element, class Number, class Stored>
void pack_matrix(const WinogradFormat& format, const WinogradParams& p, const Element* src, std::byte* dst) {
  const WinogradPanels panels(format, p);
  const int64_t side = p.tile + 2, points = winograd_points(p), steps = winograd_steps(format, p);
  const int64_t depth = format.depth;
  std::memset(dst, 0, size_t(winograd_weight_bytes(format, p)));
  for (int64_t index = 0; index < panels.count(); ++index) {
    const WinogradPanel panel = panels.panel(index);
    const int64_t width = panel.granules * kWinogradGranule;
    std::byte* const header = dst + panel.offset;
    Stored* const body = reinterpret_cast<Stored*>(header + format.is_integer() * width * kWinogradStepBytes);
    for (int64_t begin = 0; begin < width; begin += kWinogradGranule) {
      const int64_t columns = std::clamp<int64_t>(p.n - panel.column - begin, 0, kWinogradGranule);
      uint32_t sum[kWinogradGranule] = {};  // int32 arithmetic that wraps
      for (int64_t c = 0; c < p.c; ++c) {
        Weights<Number> g[kTaps * kTaps], half[kMostSide * kTaps], u[kMostSide * kMostSide];
        for (int64_t j = 0; j < columns; ++j) {
          const Element* const from = src + ((panel.column + begin + j) * p.c + c) * kTaps * kTaps;
          for (int tap = 0; tap < kTaps * kTaps; ++tap) {
            g[tap].column[j] = Number(from[tap]);
            if constexpr (sizeof(Element) == 1) sum[j] += uint32_t(int32_t(from[tap]));
          }
        }
        for (int64_t x = 0; x < kTaps; ++x) transform(g + x, kTaps, p.tile, half + x, kTaps);
        for (int64_t y = 0; y < side; ++y) transform(half + y * kTaps, 1, p.tile, u + y * side, 1);
        for (int64_t point = 0; point < points; ++point) {
          Stored* const to = body + ((point * steps + c / depth) * width + begin) * depth + c % depth;
          for (int j = 0; j < kWinogradGranule; ++j) to[j * depth] = Stored(u[point].column[j]);
        }
      }
      if constexpr (sizeof(Element) == 1) {
        uint32_t correction[kWinogradGranule];
        for (int64_t j = 0; j < kWinogradGranule; ++j) correction[j] = 0u - uint32_t(p.src_zero_point) * sum[j];
        std::memcpy(header + begin * kWinogradStepBytes, correction, sizeof correction);
      }
    }
  }
}

}  // namespace

void pack_winograd(const WinogradFormat& format, const WinogradParams& p, const void* src, std::byte* dst) {
  const int64_t elements = p.n * p.c * kTaps * kTaps, bytes = winograd_weight_bytes(format, p);
  for (int64_t group = 0; group < p.groups; ++group, dst += bytes) {
    if (format.is_integer()) {
      pack_matrix<int8_t, int, int16_t>(format, p, static_cast<const int8_t*>(src) + group * elements, dst);
    } else {
      pack_matrix<float, double, float>(format, p, static_cast<const float*>(src) + group * elements, dst);
    }
  }
}

}  // namespace rushlight
