#include "kernels/gemm/tiles.h"

#include <string_view>

#include "kernels/gemm/choice.h"

namespace rushlight {

namespace {

struct Measured {
  std::string_view symbol;
  int granules, rows;
  GemmTileCost cost;
};

constexpr Measured kMeasured[] = {
#define COST(symbol, granules, rows, near, far, tile) {#symbol, granules, rows, {near, far, tile}},
#include "kernels/gemm/costs.inc"
#undef COST
};

constexpr int64_t kUsualSteps = 128;  // the depth that tiles are compared at

using Heights = int[GemmHeights::kMost];

// The highest tile, and the lowest that covers what it leaves.
constexpr GemmChoice choose_by_height(const Heights& heights) {
  GemmChoice choice{};
  while (choice.main + 1 < GemmHeights::kMost && heights[choice.main + 1] > 0) ++choice.main;
  const int height = heights[choice.main];
  for (int rows = 1; rows < 2 * height; ++rows) {
    int8_t lowest = 0;
    while (heights[lowest] < (rows > height ? rows - height : rows)) ++lowest;
    choice.last[rows] = rows > height ? GemmPair{int8_t(choice.main), lowest} : GemmPair{lowest, GemmPair::kNone};
  }
  return choice;
}

// The fastest tile and the fastest pairs, where they are clearly faster.
constexpr GemmChoice choose_by_cost(const Heights& heights, const GemmTileCost (&costs)[GemmHeights::kMost]) {
  GemmChoice choice = choose_by_height(heights);
  const int highest = choice.main;
  const auto ns = [&](int i) { return i == GemmPair::kNone ? 0 : costs[i].ns(kUsualSteps, true); };
  double least = kClearlyLess * ns(highest) / heights[highest];
  for (int i = 0; i < highest; ++i) {
    if (ns(i) / heights[i] >= least) continue;
    least = ns(i) / heights[i];
    choice.main = i;
  }
  const GemmChoice usual = choose_by_height(heights);
  const int main = heights[choice.main];
  for (int rows = 1; rows < 2 * main; ++rows) {
    GemmPair& pair = choice.last[rows];
    pair = usual.last[rows];
    double pair_least = kClearlyLess * (ns(pair.first) + ns(pair.second));
    for (int i = 0; i <= highest; ++i) {
      for (int8_t j = GemmPair::kNone; j <= i; ++j) {
        const bool covers =
            j == GemmPair::kNone ? heights[i] >= rows : heights[i] < rows && heights[i] + heights[j] >= rows;
        if (!covers || ns(i) + ns(j) >= pair_least) continue;
        pair_least = ns(i) + ns(j);
        pair = {int8_t(i), j};
      }
    }
  }
  return choice;
}

// Whether the costs of one kernel hold for another: weights of 16 bits are said to cost what those of float32 cost.
constexpr bool has_costs_of(std::string_view symbol, std::string_view measured) {
  constexpr std::string_view halves = "f16f32_", floats = "gemm_f32f32f32_";
  const size_t at = symbol.find(halves);
  return at == symbol.npos
             ? symbol == measured
             : measured.starts_with(floats) && measured.substr(floats.size()) == symbol.substr(at + halves.size());
}

constexpr GemmTiles tiles_of(std::string_view symbol, const GemmHeights& heights) {
  GemmTiles tiles{heights, false, {}, {}, {}};
  for (const Measured& measured : kMeasured) {
    if (!has_costs_of(symbol, measured.symbol)) continue;
    tiles.is_measured = true;
    for (int i = 0; i < GemmHeights::kMost; ++i) {
      if (heights.rows[measured.granules - 1][i] == measured.rows) tiles.cost[measured.granules - 1][i] = measured.cost;
    }
  }
  for (int g = 0; g < 4 && heights.rows[g][0] > 0; ++g) {
    tiles.by_height[g] = choose_by_height(heights.rows[g]);
    tiles.by_cost[g] = tiles.is_measured ? choose_by_cost(heights.rows[g], tiles.cost[g]) : tiles.by_height[g];
  }
  return tiles;
}

}  // namespace

#define ROW(isa, symbol, op, types, mr, nr) \
  constexpr GemmTiles tiles_##symbol = tiles_of(#symbol, gemm_heights(Isa::isa, mr, nr));
#include "kernels/gemm/kernels.inc"
#undef ROW

}  // namespace rushlight
