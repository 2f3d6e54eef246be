#include "kernels/winograd/pack.h"

#include <algorithm>

#include "kernels/winograd/layout.h"

namespace rushlight {

namespace {

constexpr int kTaps = 3, kMostSide = 6;

// One weight of each column of a granule.
struct Weights {
  double column[kWinogradGranule] = {};
};

// G g: g's polynomial at the points, over the product of the distances from the point to the others.
void transform(const Weights* g, int64_t stride, int64_t tile, Weights* u, int64_t u_stride) {
  const Weights &g0 = g[0], &g1 = g[stride], &g2 = g[2 * stride];
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

}  // namespace

void pack_winograd(int64_t nr, const WinogradParams& p, const float* src, float* dst) {
  const WinogradPanels panels(nr, p);
  const int64_t side = p.tile + 2, points = winograd_points(p);
  for (int64_t index = 0; index < panels.count(); ++index) {
    const WinogradPanel panel = panels.panel(index);
    const int64_t width = panel.granules * kWinogradGranule;
    for (int64_t begin = 0; begin < width; begin += kWinogradGranule) {
      const int64_t columns = std::clamp<int64_t>(p.n - panel.column - begin, 0, kWinogradGranule);
      float* const out = dst + panel.weights + begin;
      for (int64_t c = 0; c < p.c; ++c) {
        Weights g[kTaps * kTaps], half[kMostSide * kTaps], u[kMostSide * kMostSide];
        for (int64_t j = 0; j < columns; ++j) {
          const float* const from = src + ((panel.column + begin + j) * p.c + c) * kTaps * kTaps;
          for (int tap = 0; tap < kTaps * kTaps; ++tap) g[tap].column[j] = double(from[tap]);
        }
        for (int64_t x = 0; x < kTaps; ++x) transform(g + x, kTaps, p.tile, half + x, kTaps);
        for (int64_t y = 0; y < side; ++y) transform(half + y * kTaps, 1, p.tile, u + y * side, 1);
        for (int64_t point = 0; point < points; ++point) {
          float* const to = out + (point * p.c + c) * width;
          for (int j = 0; j < kWinogradGranule; ++j) to[j] = float(u[point].column[j]);
        }
      }
    }
  }
}

}  // namespace rushlight
