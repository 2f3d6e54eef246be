// Recurrences with kWidth hidden units in the lanes and up to R rows of the batch at a time; for ISA files.
#pragma once

#include "kernels/kernel.h"
#include "kernels/rnn/gates.h"
#include "kernels/rnn/rnn.h"

namespace rushlight {
namespace {

// The state of R rows while time passes.
template <int R>
struct Rows {
  const float* x[R];
  const float* h[R];  // of the step before
  float* y[R];
  float* c[R];      // lstm
  float* reset[R];  // gru, scratch: r * h
};

// Sums of Count gates of R rows and T tiles.
template <int T, int R, int Count>
struct Sums {
  alignas(64) float value[T][R][Count][kWidth];

  RL_INLINE float* at(int t, int r, int g) { return value[t][r][g]; }
  RL_INLINE V get(int t, int r, int g) const { return load(value[t][r][g]); }
};

// sum[t][r][g] += h[r][k] * w[k][First + g] of tile t, for Count of the Gates gates of T tiles. Not inlined: constants
// of what follows would take the accumulators' registers.
template <int Gates, int First, int Count, int T, int R>
__attribute__((noinline)) void add_products(const float* weight, int64_t hidden, const float* const* h,
                                            Sums<T, R, Count>& sum) {
  V acc[T][R][Count];
#pragma GCC unroll 2
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g) acc[t][r][g] = load(sum.at(t, r, g));
  const float* row[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) row[r] = h[r];
  for (int64_t k = 0; k < hidden; ++k) {
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) {
      V w[Count];
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g)
        w[g] = in_register(load(weight + ((t * hidden + k) * Gates + First + g) * kWidth));
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
      for (int g = 0; g < Count; ++g) store(sum.at(t, r, g), acc[t][r][g]);
}

struct Lstm {
  static constexpr int kGates = 4;

  // T tiles from hidden unit j on.
  template <int T, int R>
  static RL_INLINE void tiles(const RnnParams& p, const Rows<R>& rows, const float* weight, int64_t j) {
    const auto lanes = [&](int t) {
      return int(p.hidden - j - t * kWidth < kWidth ? p.hidden - j - t * kWidth : kWidth);
    };
    Sums<T, R, 4> sum;
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r)
        for (int g = 0; g < 4; ++g) store(sum.at(t, r, g), load_n(rows.x[r] + g * p.hidden + j + t * kWidth, lanes(t)));
    add_products<kGates, 0, 4, T, R>(weight, p.hidden, rows.h, sum);
    for (int t = 0; t < T; ++t) {
      for (int r = 0; r < R; ++r) {
        float* const state = rows.c[r] + j + t * kWidth;
        const V input = product(sigmoid_fraction(sum.get(t, r, 0)), tanh_fraction(sum.get(t, r, 2)));
        const V c = fma(value(sigmoid_fraction(sum.get(t, r, 1))), load_n(state, lanes(t)), input);
        store_n(state, c, lanes(t));
        store_n(rows.y[r] + j + t * kWidth, product(sigmoid_fraction(sum.get(t, r, 3)), tanh_fraction(c)), lanes(t));
      }
    }
  }

  // A row alone takes two tiles at a time: more products in flight, more weights on their way from the cache.
  template <int R>
  static void step(const RnnParams& p, const Rows<R>& rows, const float* weight, const float*) {
    const int64_t tile = p.hidden * kGates * kWidth;
    int64_t j = 0;
    if constexpr (R == 1) {
      for (; j + kWidth < p.hidden; j += 2 * kWidth, weight += 2 * tile) tiles<2, R>(p, rows, weight, j);
    }
    for (; j < p.hidden; j += kWidth, weight += tile) tiles<1, R>(p, rows, weight, j);
  }
};

struct Gru {
  static constexpr int kGates = 3;

  // h of the tile, given its gate z and what goes into tanh.
  static RL_INLINE void finish(const float* h, float* y, V z, V inner, int n) {
    const Fraction m = tanh_fraction(inner);
    store_n(y, fma(z, load_n(h, n), ((set(1.0f) - z) * m.over) / m.under), n);
  }

  template <int R>
  static void step(const RnnParams& p, const Rows<R>& rows, const float* weight, const float* bias) {
    const int64_t tile = p.hidden * kGates * kWidth;
    for (int64_t j = 0; j < p.hidden; j += kWidth) {
      const int n = p.hidden - j < kWidth ? int(p.hidden - j) : kWidth;
      const float* const w = weight + j / kWidth * tile;
      const V start = bias ? load_n(bias + j, n) : zero();
      Sums<1, R, 3> sum;
      for (int r = 0; r < R; ++r) {
        store(sum.at(0, r, 0), load_n(rows.x[r] + j, n));
        store(sum.at(0, r, 1), load_n(rows.x[r] + p.hidden + j, n));
        store(sum.at(0, r, 2), start);
      }
      add_products<kGates, 0, 3, 1, R>(w, p.hidden, rows.h, sum);
      for (int r = 0; r < R; ++r) {
        const V reset = value(sigmoid_fraction(sum.get(0, r, 0))), z = value(sigmoid_fraction(sum.get(0, r, 1)));
        if (p.linear_before_reset) {
          const V inner = fma(reset, sum.get(0, r, 2), load_n(rows.x[r] + 2 * p.hidden + j, n));
          finish(rows.h[r] + j, rows.y[r] + j, z, inner, n);
        } else {
          store_n(rows.reset[r] + j, reset * load_n(rows.h[r] + j, n), n);
          store_n(rows.y[r] + j, z, n);
        }
      }
    }
    if (!p.linear_before_reset) reset_first<R>(p, rows, weight, bias);
  }

  // The second half of a step whose product takes r * h; y holds z.
  template <int R>
  static void reset_first(const RnnParams& p, const Rows<R>& rows, const float* weight, const float* bias) {
    const float* reset[R];
    for (int r = 0; r < R; ++r) reset[r] = rows.reset[r];
    for (int64_t j = 0; j < p.hidden; j += kWidth, weight += p.hidden * kGates * kWidth) {
      const int n = p.hidden - j < kWidth ? int(p.hidden - j) : kWidth;
      Sums<1, R, 1> sum;
      for (int r = 0; r < R; ++r) store(sum.at(0, r, 0), bias ? load_n(bias + j, n) : zero());
      add_products<kGates, 2, 1, 1, R>(weight, p.hidden, reset, sum);
      for (int r = 0; r < R; ++r) {
        const V inner = load_n(rows.x[r] + 2 * p.hidden + j, n) + sum.get(0, r, 0);
        finish(rows.h[r] + j, rows.y[r] + j, load_n(rows.y[r] + j, n), inner, n);
      }
    }
  }
};

inline void copy_state(const float* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dst[i] = src[i];
}

// R rows of the batch from `first` on, all steps.
template <class Cell, int R>
void run_rows(const Call& call, const RnnParams& p, int64_t first) {
  const auto source = [&](int index) { return static_cast<const float*>(call.operand[index]); };
  const auto target = [&](int index) { return static_cast<float*>(call.operand[index]); };
  Rows<R> rows;
  for (int r = 0; r < R; ++r) {
    const int64_t state = (first + r) * p.hidden;
    rows.h[r] = source(kRnnH0) + state;
    rows.reset[r] = reinterpret_cast<float*>(call.scratch) + r * p.hidden;
    if (Cell::kGates == 4) {
      rows.c[r] = target(kRnnCn) + state;
      copy_state(source(kRnnC0) + state, rows.c[r], p.hidden);
    }
  }
  for (int64_t step = 0; step < p.steps; ++step) {
    const int64_t t = p.is_reverse ? p.steps - 1 - step : step;
    for (int r = 0; r < R; ++r) {
      rows.x[r] = source(kRnnX) + t * p.x_step + (first + r) * p.x_row;
      rows.y[r] = target(kRnnY) + t * p.y_step + (first + r) * p.y_row;
    }
    Cell::template step<R>(p, rows, source(kRnnWeight), source(kRnnBias));
    for (int r = 0; r < R; ++r) rows.h[r] = rows.y[r];
  }
  for (int r = 0; r < R; ++r) copy_state(rows.h[r], target(kRnnHn) + (first + r) * p.hidden, p.hidden);
}

// As many rows as there are, R at most, together.
template <class Cell, int R>
void run_some(const Call& call, const RnnParams& p, int64_t first, int64_t count) {
  if constexpr (R > 1) {
    if (count < R) return run_some<Cell, R - 1>(call, p, first, count);
  }
  run_rows<Cell, R>(call, p, first);
}

// A task is R rows of the batch, the last one may be of fewer.
template <class Cell, int R>
void recur(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const RnnParams*>(call.params);
  for (int64_t first = begin * R; first < end * R && first < p.rows; first += R)
    run_some<Cell, R>(call, p, first, p.rows - first);
}

}  // namespace
}  // namespace rushlight
