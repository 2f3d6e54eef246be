// The register tiles of every kernel and what they cost: the data that choices of tiles are made from (choice.h). No
// result depends on it.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"

namespace rushlight {

// Rows of the tiles of a kernel, for panels of 1 to 4 granules, ascending; 0 where there are fewer.
struct GemmHeights {
  static constexpr int kMost = 6;
  static constexpr int kHighest = 32;
  int rows[4][kMost];
};

// 32 registers of 16 lanes: 24 accumulators, one granule a register.
constexpr GemmHeights kWideHeights = {{{1, 2, 4, 8, 12}, {1, 2, 4, 8, 12}, {1, 2, 4, 6, 8}, {1, 2, 3, 4, 5, 6}}};
// Panels of one granule.
constexpr GemmHeights kNarrowHeights = {{{1, 2, 4, 6}}}, kLowHeights = {{{1, 2, 4}}};
// For correctness, not for speed: one height.
constexpr GemmHeights kGenericHeights = {{{2}}};
// Tile registers of 16 rows, and tiles of vectors where there are few rows.
constexpr GemmHeights kMatrixHeights = {{{1, 2, 4, 16, 32}, {1, 2, 4, 16, 32}, {1, 2, 4, 16, 32}, {1, 2, 4, 16, 32}}};

constexpr const GemmHeights& gemm_heights(Isa isa, int mr, int nr) {
  return isa == Isa::generic   ? kGenericHeights
         : isa == Isa::amxint8 ? kMatrixHeights
         : nr > 16             ? kWideHeights
         : mr > 4              ? kNarrowHeights
                               : kLowHeights;
}

// Nanoseconds of a tile: `tile`, and for every step `near` or `far`, as its panel lies in L1 or beyond.
struct GemmTileCost {
  double near, far, tile;
  constexpr double ns(int64_t steps, bool is_near) const { return tile + double(steps) * (is_near ? near : far); }
};

// Numbers of the heights of one or two tiles, one below the other; kNone for no second one.
struct GemmPair {
  static constexpr int8_t kNone = -1;
  int8_t first, second;
};

// What is chosen for panels of some granules.
struct GemmChoice {
  int main;                                  // the number of the height that most rows are given
  GemmPair last[2 * GemmHeights::kHighest];  // what covers so many rows, fewer than two main tiles
};

struct GemmTiles {
  GemmHeights heights;
  bool is_measured;
  GemmTileCost cost[4][GemmHeights::kMost];
  GemmChoice by_cost[4], by_height[4];  // with the costs, without

  int64_t main_rows(int64_t granules) const { return heights.rows[granules - 1][by_cost[granules - 1].main]; }
};

// tiles_<symbol>, from costs.inc, which `python -m benchmarks.kernels.fit` writes.
#define ROW(isa, symbol, op, types, mr, nr) extern const GemmTiles tiles_##symbol;
#include "kernels/gemm/kernels.inc"
#undef ROW

}  // namespace rushlight
