// What becomes of the sums of tile registers, for ISA files only.
#pragma once

#include "kernels/gemm/tile.h"

namespace rushlight {
namespace {

constexpr int kTileRows = 16;
constexpr int kBlockColumns = 2 * kTileRows;
constexpr int kGroupRows = 128;  // their sums of 32 columns are 16 KiB

// Sums, 16 x 16 a tile: those of a group of rows and of 32 columns.
using Sums = int32_t[kGroupRows][kBlockColumns];

// Makes results of sums, a few rows at a time: vector instructions for which the multiplier does not wait.
template <class Dst>
class Finishing {
 public:
  // Rows and columns of `tile`, whose results may fit into int32 before they are limited.
  RL_INLINE void begin(const GemmTile& tile, const int32_t (*sums)[kBlockColumns], bool fits_int) {
    tile_ = tile;
    sums_ = sums;
    rest_ = tile.m;
    fits_int_ = fits_int;
  }

  // Steps that are left.
  RL_INLINE int64_t steps() const { return (rest_ + kTogether - 1) / kTogether; }

  RL_INLINE void advance(int64_t steps) {
    for (; steps > 0 && rest_ > 0; --steps) tile_.columns > kTileRows ? finish<2>() : finish<1>();
  }

 private:
  static constexpr int kTogether = 4;

  template <int N>
  __attribute__((noinline)) void finish() {
    VI acc[kTogether][N];
    RL_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      RL_UNROLL
      for (int j = 0; j < N; ++j) acc[i][j] = load_i(sums_[i] + j * kWidth);
    }
    tile_.m = rest_ < kTogether ? rest_ : kTogether;
    if (tile_.columns == N * kTileRows) {
      finish_u8s8<true>(tile_, reinterpret_cast<Dst*>(tile_.dst), fits_int_, acc);
    } else {
      finish_u8s8<false>(tile_, reinterpret_cast<Dst*>(tile_.dst), fits_int_, acc);
    }
    next_tile<Dst, kTogether>(tile_);
    sums_ += kTogether;
    rest_ -= kTogether;
  }

  GemmTile tile_;
  const int32_t (*sums_)[kBlockColumns];
  int64_t rest_ = 0;
  bool fits_int_;
};

}  // namespace
}  // namespace rushlight
