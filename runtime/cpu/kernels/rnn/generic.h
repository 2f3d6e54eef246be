// Recurrences with kWidth hidden units in the lanes and R rows of the batch at a time; for ISA files.
#pragma once

#include "kernels/kernel.h"
#include "kernels/rnn/rnn.h"
#include "kernels/vec/math.h"

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

// sum[r][g] += h[r][k] * w[k][First + g], for Count of the Gates gates of one tile.
template <int Gates, int First, int Count, int R>
RL_INLINE void add_products(const float* weight, int64_t hidden, const float* const (&h)[R], V (&sum)[R][Count]) {
  for (int64_t k = 0; k < hidden; ++k) {
    V w[Count];
#pragma GCC unroll 4
    for (int g = 0; g < Count; ++g) w[g] = load(weight + (k * Gates + First + g) * kWidth);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const V factor = set(h[r][k]);
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g) sum[r][g] = fma(factor, w[g], sum[r][g]);
    }
  }
}

struct Lstm {
  static constexpr int kGates = 4;

  template <int R>
  static void step(const RnnParams& p, const Rows<R>& rows, const float* weight, const float*) {
    for (int64_t j = 0; j < p.hidden; j += kWidth, weight += p.hidden * kGates * kWidth) {
      const int n = p.hidden - j < kWidth ? int(p.hidden - j) : kWidth;
      V sum[R][4];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int g = 0; g < 4; ++g) sum[r][g] = load_n(rows.x[r] + g * p.hidden + j, n);
      add_products<kGates, 0, 4, R>(weight, p.hidden, rows.h, sum);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const V c = fma(sigmoid(sum[r][1]), load_n(rows.c[r] + j, n), sigmoid(sum[r][0]) * tanh(sum[r][2]));
        store_n(rows.c[r] + j, c, n);
        store_n(rows.y[r] + j, sigmoid(sum[r][3]) * tanh(c), n);
      }
    }
  }
};

struct Gru {
  static constexpr int kGates = 3;

  // h of the tile, given its gates and what goes into tanh.
  static RL_INLINE void finish(const float* h, float* y, V z, V inner, int n) {
    const V m = tanh(inner);
    store_n(y, fma(z, load_n(h, n), (set(1.0f) - z) * m), n);
  }

  template <int R>
  static void step(const RnnParams& p, const Rows<R>& rows, const float* weight, const float* bias) {
    const int64_t tile = p.hidden * kGates * kWidth;
    for (int64_t j = 0; j < p.hidden; j += kWidth) {
      const int n = p.hidden - j < kWidth ? int(p.hidden - j) : kWidth;
      const float* const w = weight + j / kWidth * tile;
      const V start = bias ? load_n(bias + j, n) : zero();
      V sum[R][3];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        sum[r][0] = load_n(rows.x[r] + j, n);
        sum[r][1] = load_n(rows.x[r] + p.hidden + j, n);
        sum[r][2] = start;
      }
      add_products<kGates, 0, 3, R>(w, p.hidden, rows.h, sum);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const V reset = sigmoid(sum[r][0]), z = sigmoid(sum[r][1]);
        if (p.linear_before_reset) {
          const V inner = fma(reset, sum[r][2], load_n(rows.x[r] + 2 * p.hidden + j, n));
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
      V sum[R][1];
      for (int r = 0; r < R; ++r) sum[r][0] = bias ? load_n(bias + j, n) : zero();
      add_products<kGates, 2, 1, R>(weight, p.hidden, reset, sum);
      for (int r = 0; r < R; ++r) {
        const V inner = load_n(rows.x[r] + 2 * p.hidden + j, n) + sum[r][0];
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

// A task is R rows of the batch, the last one may be of fewer.
template <class Cell, int R>
void recur(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const RnnParams*>(call.params);
  for (int64_t task = begin; task < end; ++task) {
    int64_t row = task * R;
    if (row + R <= p.rows) {
      run_rows<Cell, R>(call, p, row);
    } else {
      for (; row < p.rows; ++row) run_rows<Cell, 1>(call, p, row);
    }
  }
}

}  // namespace
}  // namespace rushlight
