#include "kernels/gemm/choice.h"

#include <algorithm>

namespace rushlight {

namespace {

constexpr int64_t kNearBytes = 32 << 10;   // of a panel that stays in L1 beside a tile's rows
constexpr int64_t kMostBytes = 768 << 10;  // of a panel that leaves room in L2 for the next one

int64_t panel_bytes(int64_t granules, int64_t steps) { return granules * kGranule * kStepBytes * steps; }

double tile_ns(const GemmTiles& tiles, int64_t granules, int i, int64_t steps) {
  return tiles.cost[granules - 1][i].ns(steps, panel_bytes(granules, steps) <= kNearBytes);
}

// Of the kernel that takes panels of several granules, if it is measured. One layout serves all types of results.
const GemmTiles* wide_tiles(GemmStep step) {
  const GemmTiles* tiles = nullptr;
  switch (step) {
    case GemmStep::f32: tiles = &tiles_gemm_f32f32f32_6x64_avx512; break;
    case GemmStep::u8x4: tiles = &tiles_gemm_u8s8u8_6x64_avx512vnni; break;
    case GemmStep::s16x2: tiles = &tiles_gemm_u8s8u8_6x64_avx512; break;
    case GemmStep::u8x64: tiles = &tiles_gemm_u8s8u8_32x64_amxint8; break;
    case GemmStep::s8x4: break;
  }
  return tiles && tiles->is_measured ? tiles : nullptr;
}

// Of one row and all columns.
double row_ns(const GemmTiles& tiles, int64_t widest, int64_t granules, int64_t steps) {
  const int64_t panels = ceil_div(granules, widest), narrow = granules / panels, wide_panels = granules % panels;
  const auto panel_ns = [&](int64_t width) {
    return tile_ns(tiles, width, tiles.by_cost[width - 1].main, steps) / double(tiles.main_rows(width));
  };
  const double wide_ns = wide_panels > 0 ? double(wide_panels) * panel_ns(narrow + 1) : 0;
  return double(panels - wide_panels) * panel_ns(narrow) + wide_ns;
}

}  // namespace

int gemm_main(const GemmTiles& tiles, int64_t granules, int64_t given) {
  if (given == 0) return tiles.by_cost[granules - 1].main;
  const int (&heights)[GemmHeights::kMost] = tiles.heights.rows[granules - 1];
  const int highest = tiles.by_height[granules - 1].main;
  for (int i = 0; i < highest; ++i) {
    if (heights[i] == given) return i;
  }
  return highest;
}

GemmCut gemm_cut(const GemmTiles& tiles, int64_t granules, int64_t rows, int64_t given) {
  const int (&heights)[GemmHeights::kMost] = tiles.heights.rows[granules - 1];
  const int main = gemm_main(tiles, granules, given);
  const int64_t height = heights[main], below = rows % height;
  GemmCut cut{main, {GemmPair::kNone, GemmPair::kNone}, rows - below, 0};
  if (below == 0) return cut;
  if (given > 0) {
    for (cut.last.first = 0; heights[cut.last.first] < below;) ++cut.last.first;
  } else {
    const GemmChoice& choice = given < 0 ? tiles.by_height[granules - 1] : tiles.by_cost[granules - 1];
    if (cut.main_rows > 0) cut.main_rows -= height;
    cut.last = choice.last[rows - cut.main_rows];
  }
  cut.first_rows = std::min<int64_t>(heights[cut.last.first], rows - cut.main_rows);
  return cut;
}

int64_t gemm_panel_granules(GemmStep step, int64_t widest, int64_t granules, int64_t steps, int64_t given) {
  if (given > 0) return std::min(given, widest);
  const int64_t usual = panel_bytes(widest, steps) > kMostBytes ? ceil_div(widest, 2) : widest;
  const GemmTiles* const tiles = given == 0 && widest > 1 && granules > 1 ? wide_tiles(step) : nullptr;
  if (!tiles) return usual;
  int64_t best = usual;
  double least = kClearlyLess * row_ns(*tiles, usual, granules, steps);
  for (int64_t width = usual - 1; width >= 1; --width) {
    const double ns = row_ns(*tiles, width, granules, steps);
    if (ns >= least) continue;
    least = ns;
    best = width;
  }
  return best;
}

}  // namespace rushlight
