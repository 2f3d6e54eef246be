// One row of scores to whole weights, and sums of products to bytes; for ISA files.
#pragma once

#include "kernels/qattention/tile.h"
#include "kernels/vec/exp_bytes.h"

namespace rushlight {
namespace {

// The sum of all lanes.
RL_INLINE int32_t sum_lanes(VI v) {
  const auto add = [&](V moved) __attribute__((always_inline)) { v = v + bits(moved); };
  if constexpr (kWidth == 16) add(down<8>(from_bits(v)));
  if constexpr (kWidth >= 8) add(down<4>(from_bits(v)));
  add(down<2>(from_bits(v)));
  add(down<1>(from_bits(v)));
  const float lane = first(from_bits(v));
  int32_t sum;
  __builtin_memcpy(&sum, &lane, sizeof sum);
  return sum;
}

// Weights of the first n scores, none above `most`, and zeros up to `end`, by whole vectors. Their sum, but for the
// lanes' (sum_lanes).
template <class Step>
RL_INLINE VI weigh_row(const float* scores, int64_t n, int64_t end, float most, typename Step::Number* weights) {
  const V peak = set(most == -__builtin_inff() ? 0.0f : most), log2e = set(kLog2E);
  const auto weight = [=](int64_t i) __attribute__((always_inline)) {
    return round_int(exp2_in_255ths((load(scores + i) - peak) * log2e));
  };
  VI sum[2] = {set_i(0), set_i(0)};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    const VI a = weight(i), b = weight(i + kWidth), c = weight(i + 2 * kWidth), d = weight(i + 3 * kWidth);
    sum[0] = sum[0] + (a + b);
    sum[1] = sum[1] + (c + d);
    Step::store_four_numbers(weights + i, a, b, c, d);
  }
  for (; i + kWidth <= n; i += kWidth) {
    const VI a = weight(i);
    sum[0] = sum[0] + a;
    Step::store_numbers(weights + i, a);
  }
  if (i < n) {
    const VI a = select_i(first_lanes(int(n - i)), weight(i), set_i(0));
    sum[1] = sum[1] + a;
    Step::store_numbers(weights + i, a);
    i += kWidth;
  }
  for (; i < end; i += kWidth) Step::store_numbers(weights + i, set_i(0));
  return sum[0] + sum[1];
}

// n results of a row.
struct ByteRow {
  V offset, low, high;

  RL_INLINE void finish(const float* sums, V factor, uint8_t* out, int64_t n) const {
    const auto result = [&](V t) __attribute__((always_inline)) {
      return round_int(min(max(fma(t, factor, offset), low), high));
    };
    int64_t i = 0;
    for (; i + 4 * kWidth <= n; i += 4 * kWidth)
      store_four(out + i, result(load(sums + i)), result(load(sums + i + kWidth)), result(load(sums + i + 2 * kWidth)),
                 result(load(sums + i + 3 * kWidth)));
    for (; i + kWidth <= n; i += kWidth) store_u8(out + i, result(load(sums + i)));
    if (i < n) store_u8_n(out + i, result(load(sums + i)), int(n - i));
  }
};

}  // namespace
}  // namespace rushlight
