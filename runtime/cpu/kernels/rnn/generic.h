// The recurrence over time, for ISA files: R rows of the batch at most in a task.
#pragma once

#include "kernels/kernel.h"
#include "kernels/rnn/cells.h"
#include "kernels/rnn/inputs.h"

namespace rushlight {
namespace {

inline void copy_state(const float* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dst[i] = src[i];
}

// R rows of the batch from `first` on, all steps.
template <class Cell, class Product, template <int, int> class Inputs, int R>
void run_rows(const Call& call, const RnnParams& p, int64_t first) {
  const auto source = [&](int index) { return static_cast<const float*>(call.operand[index]); };
  const auto target = [&](int index) { return static_cast<float*>(call.operand[index]); };
  const RnnScratch scratch(p.hidden, Cell::kGates);
  Rows<typename Product::Input, R> rows;
  for (int r = 0; r < R; ++r) {
    const int64_t state = (first + r) * p.hidden;
    std::byte* const own = call.scratch + r * scratch.row;
    rows.h[r] = source(kRnnH0) + state;
    rows.sums[r] = reinterpret_cast<float*>(own);
    rows.reset[r] = reinterpret_cast<float*>(own + scratch.reset);
    rows.encoded[r] = reinterpret_cast<typename Product::Input*>(own + scratch.encoded);
    if (Cell::kGates == 4) {
      rows.c[r] = target(kRnnCn) + state;
      copy_state(source(kRnnC0) + state, rows.c[r], p.hidden);
    }
  }
  Inputs<Cell::kGates, R> inputs(call, p, first, reinterpret_cast<float*>(call.scratch + R * scratch.row));
  const Weights weights{static_cast<const std::byte*>(call.operand[kRnnWeight]), source(kRnnScale), p.hidden,
                        inputs.ahead()};
  const int64_t tiles = (p.hidden + kWidth - 1) / kWidth;
  for (int64_t step = 0; step < p.steps; ++step) {
    const int64_t t = time_of(p, step);
    inputs.multiply(step, rows.x);
    for (int r = 0; r < R; ++r) rows.y[r] = target(kRnnY) + t * p.y_step + (first + r) * p.y_row;
    Cell::template step<Product, Inputs<Cell::kGates, R>, R>(p, rows, weights, source(kRnnBias), 0, tiles);
    for (int r = 0; r < R; ++r) rows.h[r] = rows.y[r];
  }
  for (int r = 0; r < R; ++r) copy_state(rows.h[r], target(kRnnHn) + (first + r) * p.hidden, p.hidden);
}

// As many rows as there are, R at most, together.
template <class Cell, class Product, template <int, int> class Inputs, int R>
void run_some(const Call& call, const RnnParams& p, int64_t first, int64_t count) {
  if constexpr (R > 1) {
    if (count < R) return run_some<Cell, Product, Inputs, R - 1>(call, p, first, count);
  }
  run_rows<Cell, Product, Inputs, R>(call, p, first);
}

// A task is R rows of the batch, the last one may be of fewer.
template <class Cell, class Product, int R, template <int, int> class Inputs = GivenProducts>
void recur(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const RnnParams*>(call.params);
  for (int64_t first = begin * R; first < end * R && first < p.rows; first += R)
    run_some<Cell, Product, Inputs, R>(call, p, first, p.rows - first);
}

template <class Cell, int R>
void run_layer(const Call& call, int64_t begin, int64_t end) {
  recur<Cell, FloatProduct, R, LayerInputs>(call, begin, end);
}

}  // namespace
}  // namespace rushlight
