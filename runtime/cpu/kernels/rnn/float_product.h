// Products of the state and float32 weights, for ISA files. Every product class has
//   Input              what it reads of the state; kEncodes: whether that is made from the floats
//   encode(h, n, to)   makes it from h[n]; `to` has input_bytes(n)
//   add(...)           sums[r][t][g] += input[r] * weights of gate First + g of tile t
// where sums are vectors [gate][kWidth] of a tile, tile after tile.
#pragma once

#include "kernels/rnn/ahead.h"

namespace rushlight {
namespace {

// Where weights lie: packed tiles of so many rows, and the scale of every sum where they are integers; what is made of
// the inputs of later steps beside their products with a row alone.
struct Weights {
  const std::byte* packed;
  const float* scale;
  int64_t depth;
  Ahead* ahead;
};

// sum[t][r][g] += v[r][k] * w[k][First + g] of tile t, for Count of the Gates gates of T tiles. Not inlined: constants
// of what follows would take the accumulators' registers.
template <int Gates, int First, int Count, int T, int R>
__attribute__((noinline)) void add_float_products(const float* weight, int64_t depth, const float* const* v,
                                                  float* const* sums) {
  V acc[T][R][Count];
#pragma GCC unroll 2
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g) acc[t][r][g] = load(sums[r] + (t * Gates + First + g) * kWidth);
  const float* row[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) row[r] = v[r];
  for (int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) {
      V w[Count];
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g) w[g] = in_register(load(weight + ((t * depth + k) * Gates + First + g) * kWidth));
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const V factor = set(row[r][k]);
#pragma GCC unroll 4
        for (int g = 0; g < Count; ++g) acc[t][r][g] = fma(factor, w[g], acc[t][r][g]);
      }
    }
  }
#pragma GCC unroll 2
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g) store(sums[r] + (t * Gates + First + g) * kWidth, acc[t][r][g]);
}

struct FloatProduct {
  using Input = float;
  static constexpr bool kEncodes = false;

  static int64_t tile_bytes(int gates, int64_t depth) { return depth * gates * kWidth * int64_t(sizeof(float)); }

  // T tiles from `tile` on.
  template <int Gates, int First, int Count, int T, int R>
  static RL_INLINE void add_tiles(const Weights& w, int64_t tile, const float* const* v, float* const* sums) {
    const auto* const panel = reinterpret_cast<const float*>(w.packed + tile * tile_bytes(Gates, w.depth));
    if constexpr (R == 1) {
      if (w.ahead && w.ahead->is_due()) {
        add_float_products_beside<Gates, First, Count, T>(panel, w.depth, v[0], sums[0], w.ahead->take<Gates>());
        return;
      }
    }
    add_float_products<Gates, First, Count, T, R>(panel, w.depth, v, sums);
  }

  // A row alone takes two tiles at a time: more products in flight, more weights on their way from the cache.
  template <int Gates, int First, int Count, int R>
  static RL_INLINE void add(const Weights& w, int64_t tile, int64_t count, const float* const* v, float* const* sums) {
    float* at[R];
    for (int r = 0; r < R; ++r) at[r] = sums[r];
    const auto next = [&](int tiles) {
      for (int r = 0; r < R; ++r) at[r] += tiles * Gates * kWidth;
      tile += tiles, count -= tiles;
    };
    if constexpr (R == 1) {
      while (count > 1 && (kTilesBeside == 2 || !w.ahead || !w.ahead->is_due())) {
        add_tiles<Gates, First, Count, 2, R>(w, tile, v, at);
        next(2);
      }
    }
    for (; count > 0; next(1)) add_tiles<Gates, First, Count, 1, R>(w, tile, v, at);
  }
};

}  // namespace
}  // namespace rushlight
