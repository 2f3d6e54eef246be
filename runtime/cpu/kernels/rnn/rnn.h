// One direction of an LSTM or GRU layer, float32, or its recurrence, for which the products of the inputs are made
// before.
//
//   dot(g, v, s)[j], with s
//     float32 weights: s + sum over k of v[k] * w[g * hidden + j][k]        one FMA chain from s in k order
//     int8 weights: fma(float(sum over k of q(v[k]) * w[g * hidden + j][k]), scale[g * hidden + j], s)    the sum exact
//       q(v) = v * levels, clamped to +-levels, rounded to the nearest integer, halves to even; a NaN is -levels
//   x(g)[j], where x holds products: x[t][n][g * hidden + j]
//     of a layer: input_bias[g * hidden + j] + sum over k of x[t][n][k] * input_weight[g * hidden + j][k]    one FMA
//     chain
//
//   sigmoid(v), tanh(v)     fractions, see gates.h; a product of two divides once, the product of what is under them
//
//   "lstm_scan", gates i f g o:  a(g) = dot(g, h, x(g))
//     c = fma(sigmoid(a(f)), c, sigmoid(a(i)) * tanh(a(g)))
//     h = sigmoid(a(o)) * tanh(c)
//   "gru_scan", gates r z n:  r = sigmoid(dot(r, h, x(r))),  z = sigmoid(dot(z, h, x(z)))
//     m = tanh(fma(r, dot(n, h, bias), x(n)))    if linear_before_reset
//     m = tanh(x(n) + dot(n, r * h, bias))       otherwise
//     h = fma(z, h, (1 - z) * m)
//   "qlstm_scan", "qgru_scan": the same with int8 weights
//   "lstm", "gru": layers, with float32 weights
//
// for t = 0, 1, ... steps - 1, or backwards if is_reverse, from h = h0[n], c = c0[n]. y[t][n] gets each h, hn[n] and
// cn[n] the last ones. x and y have strides of steps and rows in elements, their last dimension is dense; the states
// are [rows][hidden]; bias is [hidden], +0 where absent; c0 and cn belong to lstm, scale [gates * hidden] to int8
// weights; `inputs` (the length of x[t][n]), input_weight and input_bias [gates * hidden], +0 where absent, to layers.
// levels <= 32767 and levels * 128 * hidden < 2^31. Any alignment but 64 bytes for the weights; nothing else is read or
// written;
// outputs overlap nothing, but that hn may be h0 and cn may be c0.
//
// pack: src is w [gates * hidden][k], k = hidden, or `inputs` where packing is given that. Tiles of nr hidden units,
// the last padded with zeros, of
//   float32: [k][gates][nr]
//   int8: what sums begin with, int32 [gates][nr], then [k / depth][gates][nr][depth], k padded with zeros. With VNNI
//     depth is 4 and q is taken as the bytes q mod 256 and q / 256 + 128, else depth is 2.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct RnnParams {
  int64_t steps, rows, hidden;
  int64_t x_step, x_row, y_step, y_row;
  int64_t is_reverse, linear_before_reset, inputs;
  float levels;
};

enum RnnOperand {
  kRnnX,
  kRnnInputWeight,
  kRnnInputBias,
  kRnnWeight,
  kRnnScale,
  kRnnBias,
  kRnnH0,
  kRnnC0,
  kRnnY,
  kRnnHn,
  kRnnCn
};

// Hidden units whose gates are made together.
constexpr int kRnnBlock = 128;

// A row alone has the products of its inputs made for so many steps at once, ahead of them.
constexpr int kRnnAhead = 8;

// Offsets within one row's scratch memory, which begins with the sums of a block, and its size. A layer has the
// products of its inputs behind all rows: of one step of each, or of two times kRnnAhead steps of one.
struct RnnScratch {
  int64_t reset, encoded, row;

  RnnScratch(int64_t hidden, int gates) {
    reset = kRnnBlock * gates * int64_t(sizeof(float));
    encoded = reset + padded(hidden * int64_t(sizeof(float)));
    row = encoded + padded(hidden * 2);
  }

  // Floats of a row's products at a step, of whole tiles of any width.
  static int64_t products(int64_t hidden, int gates) { return (hidden + 15) / 16 * 16 * gates; }

 private:
  static int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }
};

}  // namespace rushlight
