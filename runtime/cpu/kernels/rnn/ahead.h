// Products of the inputs of a row alone, for ISA files. Those of the state wait for weights from the second-level
// cache, so that multipliers are free: beside them, the inputs of the next kRnnAhead steps are multiplied, whose
// weights come once for all of these steps.
#pragma once

#include "kernels/rnn/rnn.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// What registers are left for beside tiles of the state's products: vectors of columns, and those tiles.
constexpr int kColumns = kWidth == 8 ? 1 : 2, kTilesBeside = kWidth == 8 ? 1 : 2;

RL_INLINE int lanes(int64_t hidden, int64_t unit) { return hidden - unit < kWidth ? int(hidden - unit) : kWidth; }

// Columns for kRnnAhead steps: sums[c] + i * stride = start[c] + sum over k of x[i][k] * weight[c][k * pitch].
struct Columns {
  V start[kColumns];
  const float* weight[kColumns];
  float* sums[kColumns];
  const float* const* x;
  int64_t depth, pitch, stride;
};

// What is to be made for some steps: columns, tile after tile and gate after gate.
struct Ahead {
  const float* weight;
  const float* bias;
  int64_t depth, hidden, stride;
  int64_t columns = 0, next = 0;
  float* sums = nullptr;
  const float* x[kRnnAhead] = {};

  bool is_due() const { return next < columns; }

  template <int Gates>
  RL_INLINE Columns take() {
    Columns taken{{}, {}, {}, x, depth, Gates * kWidth, stride};
    for (int c = 0; c < kColumns; ++c) {
      const int64_t column = next + c < columns ? next + c : columns - 1;  // the last one twice
      const int64_t tile = column / Gates, gate = column % Gates, unit = tile * kWidth;
      taken.start[c] = bias ? load_n(bias + gate * hidden + unit, lanes(hidden, unit)) : zero();
      taken.weight[c] = weight + (tile * depth * Gates + gate) * kWidth;
      taken.sums[c] = sums + column * kWidth;
    }
    next += kColumns;
    return taken;
  }
};

// sum[t][g] += v[k] * w[k][First + g] of tile t, for Count of the Gates gates of T tiles, beside columns. T may be 0.
template <int Gates, int First, int Count, int T>
__attribute__((noinline)) void add_float_products_beside(const float* weight, int64_t depth, const float* v,
                                                         float* sums, const Columns& columns) {
  V acc[T ? T : 1][Count], ahead[kRnnAhead][kColumns];
  const float* x[kRnnAhead];
#pragma GCC unroll 2
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int g = 0; g < Count; ++g) acc[t][g] = load(sums + (t * Gates + First + g) * kWidth);
#pragma GCC unroll 8
  for (int i = 0; i < kRnnAhead; ++i) {
    x[i] = columns.x[i];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) ahead[i][c] = columns.start[c];
  }
  const int64_t inputs = columns.depth, pitch = columns.pitch, both = depth < inputs ? depth : inputs;
  const float* column[kColumns];
#pragma GCC unroll 2
  for (int c = 0; c < kColumns; ++c) column[c] = columns.weight[c];
  const auto add_state = [&](int64_t k) {
    const V factor = set(v[k]);
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g)
        acc[t][g] = fma(factor, load(weight + ((t * depth + k) * Gates + First + g) * kWidth), acc[t][g]);
  };
  const auto add_inputs = [&](int64_t k) {
    V w[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) {
      w[c] = in_register(load(column[c]));
      column[c] += pitch;
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRnnAhead; ++i) {
      const V factor = in_register(set(x[i][k]));
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) ahead[i][c] = fma(factor, w[c], ahead[i][c]);
    }
  };
  int64_t k = 0;
  for (; k < both; ++k) {
    add_state(k);
    add_inputs(k);
  }
  for (int64_t i = k; i < depth; ++i) add_state(i);
  for (int64_t i = k; i < inputs; ++i) add_inputs(i);
#pragma GCC unroll 2
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int g = 0; g < Count; ++g) store(sums + (t * Gates + First + g) * kWidth, acc[t][g]);
#pragma GCC unroll 8
  for (int i = 0; i < kRnnAhead; ++i)
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) store(columns.sums[c] + i * columns.stride, ahead[i][c]);
}

}  // namespace
}  // namespace rushlight
