// Tables of tiles, for ISA files only.
#pragma once

#include <utility>

#include "kernels/gemm/tile.h"

namespace rushlight {

namespace {

template <class Step>
struct TileF32By {
  template <int MR, int NV>
  static constexpr GemmTileFn run = tile_f32<Step, MR, NV>;
};
using TileF32 = TileF32By<StepF32>;

template <class Step, class Dst>
struct TileU8S8 {
  template <int MR, int NV>
  static constexpr GemmTileFn run = tile_u8s8<Step, Dst, MR, NV>;
};

template <class Tile, const GemmHeights& heights, int Granules, int I>
constexpr GemmTileFn variant() {
  constexpr int rows = heights.rows[Granules - 1][I];
  if constexpr (rows > 0) {
    return Tile::template run<rows, Granules * kGranuleVectors>;
  } else {
    return nullptr;
  }
}

template <class Tile, const GemmHeights& heights, int Granules, int... I>
constexpr void add_variants(GemmKernel& kernel, std::integer_sequence<int, I...>) {
  ((kernel.variant[Granules - 1][I] = variant<Tile, heights, Granules, I>()), ...);
}

template <class Tile, class Dst, const GemmHeights& heights, int... Granules>
constexpr GemmKernel kernel_of(GemmStep step, const GemmTiles& tiles) {
  GemmKernel kernel{step, sizeof...(Granules), step == GemmStep::f32 ? 4 : 1, sizeof(Dst), tiles, {}};
  (add_variants<Tile, heights, Granules>(kernel, std::make_integer_sequence<int, GemmHeights::kMost>()), ...);
  return kernel;
}

template <class Tile, class Dst>
constexpr GemmKernel wide_kernel(GemmStep step, const GemmTiles& tiles) {
  return kernel_of<Tile, Dst, kWideHeights, 1, 2, 3, 4>(step, tiles);
}

template <class Tile, class Dst, const GemmHeights& heights = kNarrowHeights>
constexpr GemmKernel narrow_kernel(GemmStep step, const GemmTiles& tiles) {
  return kernel_of<Tile, Dst, heights, 1>(step, tiles);
}

template <V (*Load)(const uint16_t*)>
void widen(const std::byte* packed, int64_t weights, float* to) {
  const uint16_t* const from = reinterpret_cast<const uint16_t*>(packed);
  for (int64_t i = 0; i < weights; i += kWidth) store(to + i, Load(from + i));
}

// `kernel` has the tiles of `single`, for weights of 16 bits.
template <V (*Load)(const uint16_t*)>
constexpr GemmKernel reading_halves(GemmKernel kernel, const GemmKernel& single) {
  kernel.single = &single;
  kernel.widen = widen<Load>;
  return kernel;
}

}  // namespace
}  // namespace rushlight
