// Steps of the recurrences for R rows of the batch, kWidth hidden units in the lanes; for ISA files. Inputs says how a
// vector of the inputs' products is read, see inputs.h.
#pragma once

#include "kernels/rnn/float_product.h"
#include "kernels/rnn/gates.h"

namespace rushlight {
namespace {

// Gates are made for as many hidden units at a time.
constexpr int kBlockTiles = kRnnBlock / kWidth;

// The state of R rows while time passes.
template <class Input, int R>
struct Rows {
  const float* x[R];
  const float* h[R];  // of the step before
  float* y[R];
  float* c[R];            // lstm
  float* reset[R];        // gru, scratch: r * h
  const Input* input[R];  // of the products: h, or what is made of it
  Input* encoded[R];      // scratch for that
  float* sums[R];         // scratch: vectors [gate][kWidth] of the tiles of a block
};

template <class Product, int R>
RL_INLINE void set_input(const RnnParams& p, Rows<typename Product::Input, R>& rows, const float* const* from) {
  for (int r = 0; r < R; ++r) {
    if constexpr (Product::kEncodes) {
      Product::encode(from[r], p.hidden, p.levels, rows.encoded[r]);
      rows.input[r] = rows.encoded[r];
    } else {
      rows.input[r] = from[r];
    }
  }
}

RL_INLINE int lanes(const RnnParams& p, int64_t unit) { return lanes(p.hidden, unit); }

// Asks for the weights that the next products begin with, a part for every tile whose gates are made meanwhile.
RL_INLINE void fetch(const std::byte* from, int64_t tile) {
  constexpr int kLines = 3 * kWidth;
  for (int i = 0; i < kLines; ++i) __builtin_prefetch(from + (tile * kLines + i) * 64);
}

struct Lstm {
  static constexpr int kGates = 4;

  // Tiles from `first` up to `last`.
  template <class Product, class Inputs, int R>
  static void step(const RnnParams& p, Rows<typename Product::Input, R>& rows, const Weights& w, const float*,
                   int64_t first, int64_t last) {
    set_input<Product, R>(p, rows, rows.h);
    for (int64_t tile = first, count; tile < last; tile += count) {
      count = last - tile < kBlockTiles ? last - tile : kBlockTiles;
      for (int r = 0; r < R; ++r)
        for (int64_t t = 0; t < count; ++t)
          for (int g = 0; g < 4; ++g) {
            const int64_t unit = (tile + t) * kWidth;
            store(rows.sums[r] + (t * 4 + g) * kWidth, Inputs::at(p, rows.x[r], g, unit));
          }
      Product::template add<kGates, 0, 4, R>(w, tile, count, rows.input, rows.sums);
      const int64_t next = tile + count < last ? tile + count : first;
      const std::byte* const wanted = w.packed + next * Product::tile_bytes(kGates, p.hidden);
      for (int64_t t = 0; t < count; ++t) {
        if (R == 1) fetch(wanted, t);
        for (int r = 0; r < R; ++r) finish(p, rows.sums[r] + t * 4 * kWidth, rows.c[r], rows.y[r], (tile + t) * kWidth);
      }
    }
  }

  static RL_INLINE void finish(const RnnParams& p, const float* sums, float* c, float* y, int64_t unit) {
    const int n = lanes(p, unit);
    const LstmState state = lstm_state(load(sums), load(sums + kWidth), load(sums + 2 * kWidth),
                                       load(sums + 3 * kWidth), load_n(c + unit, n));
    store_n(c + unit, state.c, n);
    store_n(y + unit, state.h, n);
  }
};

struct Gru {
  static constexpr int kGates = 3;

  // Tiles from `first` up to `last`, which are all of them unless linear_before_reset.
  template <class Product, class Inputs, int R>
  static void step(const RnnParams& p, Rows<typename Product::Input, R>& rows, const Weights& w, const float* bias,
                   int64_t first, int64_t last) {
    set_input<Product, R>(p, rows, rows.h);
    for (int64_t tile = first, count; tile < last; tile += count) {
      count = last - tile < kBlockTiles ? last - tile : kBlockTiles;
      start<Inputs>(p, rows, bias, tile, count);
      if (p.linear_before_reset) {
        Product::template add<kGates, 0, 3, R>(w, tile, count, rows.input, rows.sums);
      } else {
        Product::template add<kGates, 0, 2, R>(w, tile, count, rows.input, rows.sums);
      }
      const int64_t next = tile + count < last ? tile + count : first;
      const std::byte* const wanted = w.packed + next * Product::tile_bytes(kGates, p.hidden);
      for (int64_t t = 0; t < count; ++t) {
        if (R == 1) fetch(wanted, t);
        for (int r = 0; r < R; ++r) {
          const int64_t unit = (tile + t) * kWidth;
          const int n = lanes(p, unit);
          const float* const sums = rows.sums[r] + t * 3 * kWidth;
          const V reset = value(sigmoid_fraction(load(sums))), z = value(sigmoid_fraction(load(sums + kWidth)));
          if (p.linear_before_reset) {
            const V inner = fma(reset, load(sums + 2 * kWidth), Inputs::at(p, rows.x[r], 2, unit));
            store_n(rows.y[r] + unit, gru_state(z, inner, load_n(rows.h[r] + unit, n)), n);
          } else {
            store_n(rows.reset[r] + unit, reset * load_n(rows.h[r] + unit, n), n);
            store_n(rows.y[r] + unit, z, n);
          }
        }
      }
    }
    if (!p.linear_before_reset) reset_first<Product, Inputs, R>(p, rows, w, bias, last);
  }

  // The second half of a step whose product takes r * h; y holds z.
  template <class Product, class Inputs, int R>
  static void reset_first(const RnnParams& p, Rows<typename Product::Input, R>& rows, const Weights& w,
                          const float* bias, int64_t tiles) {
    set_input<Product, R>(p, rows, rows.reset);
    for (int64_t tile = 0, count; tile < tiles; tile += count) {
      count = tiles - tile < kBlockTiles ? tiles - tile : kBlockTiles;
      start<Inputs>(p, rows, bias, tile, count);
      Product::template add<kGates, 2, 1, R>(w, tile, count, rows.input, rows.sums);
      for (int64_t t = 0; t < count; ++t)
        for (int r = 0; r < R; ++r) {
          const int64_t unit = (tile + t) * kWidth;
          const int n = lanes(p, unit);
          const V inner = Inputs::at(p, rows.x[r], 2, unit) + load(rows.sums[r] + (t * 3 + 2) * kWidth);
          const V z = load_n(rows.y[r] + unit, n);
          store_n(rows.y[r] + unit, gru_state(z, inner, load_n(rows.h[r] + unit, n)), n);
        }
    }
  }

  // What the sums of a block begin with.
  template <class Inputs, class Input, int R>
  static RL_INLINE void start(const RnnParams& p, const Rows<Input, R>& rows, const float* bias, int64_t tile,
                              int64_t count) {
    for (int r = 0; r < R; ++r)
      for (int64_t t = 0; t < count; ++t) {
        const int64_t unit = (tile + t) * kWidth;
        const int n = lanes(p, unit);
        float* const sums = rows.sums[r] + t * 3 * kWidth;
        store(sums, Inputs::at(p, rows.x[r], 0, unit));
        store(sums + kWidth, Inputs::at(p, rows.x[r], 1, unit));
        store(sums + 2 * kWidth, bias ? load_n(bias + unit, n) : zero());
      }
  }
};

}  // namespace
}  // namespace rushlight
