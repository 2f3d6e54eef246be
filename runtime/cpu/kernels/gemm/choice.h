// Chooses register tiles, by the costs of tiles.h. Without costs panels are as wide as the kernel takes them, half of
// that where two do not fit into L2, tiles as high as there are, and the rows that remain get the lowest tile that
// covers them. What is given (gemm.h) decides: 0 nothing, less than 0 that costs are left out.
#pragma once

#include "kernels/gemm/driver.h"

namespace rushlight {

// What is not faster by more than noise does not replace what is taken without costs.
constexpr double kClearlyLess = 0.97;

// How many granules the widest of the panels is given, that `granules` are dealt to: at most `widest`.
int64_t gemm_panel_granules(GemmStep step, int64_t widest, int64_t granules, int64_t steps, int64_t given);

// The number of the height that most rows have in panels of so many granules.
int gemm_main(const GemmTiles& tiles, int64_t granules, int64_t given);

// Most rows of a panel go into tiles of the main height, whole ones; the last rows into one or two others.
struct GemmCut {
  int main;
  GemmPair last;
  int64_t main_rows, first_rows;
};

GemmCut gemm_cut(const GemmTiles& tiles, int64_t granules, int64_t rows, int64_t given);

}  // namespace rushlight
