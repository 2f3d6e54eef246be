// The products of a layer's inputs, for ISA files: of R rows at every step, or of a row alone for the steps ahead.
#pragma once

#include "kernels/kernel.h"
#include "kernels/rnn/float_product.h"

namespace rushlight {
namespace {

RL_INLINE int64_t time_of(const RnnParams& p, int64_t step) { return p.is_reverse ? p.steps - 1 - step : step; }

// Products that are given. Every class of inputs has
//   multiply(step, x)      x[r] is where the products of row r lie at this step, the one after that of the last call
//   at(p, x, gate, unit)   a vector of them
//   ahead()                columns that are to be made beside the state's products, null where there are none
template <int Gates, int R>
class GivenProducts {
 public:
  GivenProducts(const Call& call, const RnnParams& p, int64_t first, float*)
      : p_(p), x_(static_cast<const float*>(call.operand[kRnnX]) + first * p.x_row) {}

  static RL_INLINE V at(const RnnParams& p, const float* x, int gate, int64_t unit) {
    return load_n(x + gate * p.hidden + unit, lanes(p.hidden, unit));
  }

  Ahead* ahead() { return nullptr; }

  void multiply(int64_t step, const float** x) {
    for (int r = 0; r < R; ++r) x[r] = x_ + time_of(p_, step) * p_.x_step + r * p_.x_row;
  }

 private:
  const RnnParams& p_;
  const float* const x_;
};

// Products of a layer's inputs: vectors [tile][gate][kWidth] of a row at a step.
template <int Gates, int R>
class LayerInputs {
 public:
  // Of rows `first`, `first` + 1, ...; `products` is scratch memory for 2 * kRnnAhead steps of a row, or one of each.
  LayerInputs(const Call& call, const RnnParams& p, int64_t first, float* products)
      : p_(p),
        x_(static_cast<const float*>(call.operand[kRnnX]) + first * p.x_row),
        weights_{static_cast<const std::byte*>(call.operand[kRnnInputWeight]), nullptr, p.inputs, nullptr},
        products_(products),
        stride_(RnnScratch::products(p.hidden, Gates)),
        ahead_{static_cast<const float*>(call.operand[kRnnInputWeight]),
               static_cast<const float*>(call.operand[kRnnInputBias]), p.inputs, p.hidden, stride_} {}

  static RL_INLINE V at(const RnnParams&, const float* x, int gate, int64_t unit) {
    return load(x + unit * Gates + gate * kWidth);
  }

  Ahead* ahead() { return &ahead_; }

  void multiply(int64_t step, const float** x) {
    if constexpr (R == 1) {
      constexpr int64_t kFew = 4;  // steps that are sooner multiplied one by one than kRnnAhead at once
      if (p_.steps >= kFew) {
        if (step % kRnnAhead == 0) look_ahead(step);
        x[0] = chunk(step) + step % kRnnAhead * stride_;
        return;
      }
    }
    multiply_now(step, x);
  }

 private:
  int64_t tiles() const { return (p_.hidden + kWidth - 1) / kWidth; }

  // The products of kRnnAhead steps.
  float* chunk(int64_t step) const { return products_ + step / kRnnAhead % 2 * kRnnAhead * stride_; }

  void set_ahead(int64_t step) {
    ahead_.next = 0;
    ahead_.columns = step < p_.steps ? tiles() * Gates : 0;
    ahead_.sums = chunk(step);
    for (int64_t i = 0; i < kRnnAhead && step < p_.steps; ++i)  // the last step again, for nothing, where there is none
      ahead_.x[i] = x_ + time_of(p_, step + i < p_.steps ? step + i : p_.steps - 1) * p_.x_step;
  }

  // Makes what there is not yet of a chunk's products, and leaves those of the next to be made beside.
  void look_ahead(int64_t step) {
    if (step == 0) set_ahead(0);
    while (ahead_.is_due())
      add_float_products_beside<Gates, 0, 1, 0>(nullptr, 0, nullptr, nullptr, ahead_.template take<Gates>());
    set_ahead(step + kRnnAhead);
  }

  void multiply_now(int64_t step, const float** x) {
    const float* given[R];
    float* sums[R];
    for (int r = 0; r < R; ++r) {
      given[r] = x_ + time_of(p_, step) * p_.x_step + r * p_.x_row;
      x[r] = sums[r] = products_ + r * stride_;
      for (int64_t unit = 0; unit < p_.hidden; unit += kWidth)
        for (int g = 0; g < Gates; ++g)
          store(sums[r] + unit * Gates + g * kWidth,
                ahead_.bias ? load_n(ahead_.bias + g * p_.hidden + unit, lanes(p_.hidden, unit)) : zero());
    }
    FloatProduct::add<Gates, 0, Gates, R>(weights_, 0, tiles(), given, sums);
  }

  const RnnParams& p_;
  const float* const x_;
  const Weights weights_;
  float* const products_;
  const int64_t stride_;
  Ahead ahead_;
};

}  // namespace
}  // namespace rushlight
