// Tables of tiles, for ISA files only.
#pragma once

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

template <class Tile, int MR, int Granules>
constexpr GemmVariant variant = {MR, Tile::template run<MR, Granules * kGranuleVectors>};

// 32 registers of 16 lanes: 24 accumulators, one granule a register.
template <class Tile, class Dst>
constexpr GemmKernel wide_kernel(GemmStep step) {
  return {step,
          4,
          step == GemmStep::f32 ? 4 : 1,
          sizeof(Dst),
          {{variant<Tile, 1, 1>, variant<Tile, 2, 1>, variant<Tile, 4, 1>, variant<Tile, 8, 1>, variant<Tile, 12, 1>},
           {variant<Tile, 1, 2>, variant<Tile, 2, 2>, variant<Tile, 4, 2>, variant<Tile, 8, 2>, variant<Tile, 12, 2>},
           {variant<Tile, 1, 3>, variant<Tile, 2, 3>, variant<Tile, 4, 3>, variant<Tile, 6, 3>, variant<Tile, 8, 3>},
           {variant<Tile, 1, 4>, variant<Tile, 2, 4>, variant<Tile, 3, 4>, variant<Tile, 4, 4>, variant<Tile, 5, 4>,
            variant<Tile, 6, 4>}}};
}

// Panels of one granule.
template <class Tile, class Dst, int Highest = 6>
constexpr GemmKernel narrow_kernel(GemmStep step) {
  return {step,
          1,
          step == GemmStep::f32 ? 4 : 1,
          sizeof(Dst),
          {{variant<Tile, 1, 1>, variant<Tile, 2, 1>, variant<Tile, 4, 1>, variant<Tile, Highest, 1>}}};
}

// For correctness, not for speed: one height.
template <class Tile, class Dst>
constexpr GemmKernel generic_kernel(GemmStep step) {
  return {step, 1, step == GemmStep::f32 ? 4 : 1, sizeof(Dst), {{variant<Tile, 2, 1>}}};
}

}  // namespace
}  // namespace rushlight
