// Products of the state, rounded to 16 bits, and int8 weights, for ISA files. Step says what a vector of weights holds,
// kWidth hidden units of kDepth neighbours in k, and what a multiply-add of its lanes does:
//   Input, kParts              the state is kParts planes of Input
//   split(q, part)             the part of whole numbers that goes to a plane; store(to, VI)
//   broadcast(p)               kDepth numbers of a plane in every lane
//   Weight, load(p)            a vector of weights
//   multiply_add(acc, a, w)    acc += sum over kDepth
//   join(acc)                  the sum, from the sums of all parts
#pragma once

#include "kernels/rnn/float_product.h"

namespace rushlight {
namespace {

// A plane of n numbers is padded, so that whole vectors may be stored and read.
RL_INLINE int64_t plane_length(int64_t n) { return (n + 15) / 16 * 16; }

template <class Step, int Gates, int First, int Count, int T, int R>
__attribute__((noinline)) void add_integer_products(const Weights& weights, int64_t tile,
                                                    const typename Step::Input* const* inputs, float* const* sums) {
  const int64_t hidden = weights.depth;
  const int64_t steps = (hidden + Step::kDepth - 1) / Step::kDepth, plane = plane_length(hidden);
  constexpr int64_t kVector = kWidth * Step::kDepth, kStart = Gates * kWidth * 4;
  const int64_t panel_bytes = kStart + steps * Gates * kVector;
  const std::byte* const panel = weights.packed + tile * panel_bytes;
  VI acc[T][R][Count][Step::kParts];
#pragma GCC unroll 2
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int g = 0; g < Count; ++g) {
      const VI start = load_i(reinterpret_cast<const int32_t*>(panel + t * panel_bytes) + (First + g) * kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        acc[t][r][g][0] = start;
        if constexpr (Step::kParts == 2) acc[t][r][g][1] = set_i(0);
      }
    }
  const typename Step::Input* input[R];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) input[r] = inputs[r];
  const std::byte* at = panel + kStart + First * kVector;
  for (int64_t step = 0; step < steps; ++step, at += Gates * kVector) {
#pragma GCC unroll 2
    for (int t = 0; t < T; ++t) {
      typename Step::Weight w[Count];
#pragma GCC unroll 4
      for (int g = 0; g < Count; ++g)
        w[g] = Step::load(reinterpret_cast<const int8_t*>(at + t * panel_bytes + g * kVector));
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (int part = 0; part < Step::kParts; ++part) {
          const auto a = Step::broadcast(input[r] + part * plane + step * Step::kDepth);
#pragma GCC unroll 4
          for (int g = 0; g < Count; ++g) Step::multiply_add(acc[t][r][g][part], a, w[g]);
        }
    }
  }
#pragma GCC unroll 2
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int g = 0; g < Count; ++g) {
      const int64_t unit = (tile + t) * kWidth;
      const int n = hidden - unit < kWidth ? int(hidden - unit) : kWidth;
      const V scale = load_n(weights.scale + (First + g) * hidden + unit, n);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        float* const sum = sums[r] + (t * Gates + First + g) * kWidth;
        store(sum, fma(to_float(Step::join(acc[t][r][g])), scale, load(sum)));
      }
    }
}

// `TilesAlone` tiles at a time for a row alone, at most `MaxSums` gates of all rows at a time otherwise.
template <class Step, int TilesAlone, int MaxSums>
struct IntegerProduct {
  using Input = typename Step::Input;
  static constexpr bool kEncodes = true;

  static int64_t tile_bytes(int gates, int64_t hidden) {
    return gates * kWidth * (4 + (hidden + Step::kDepth - 1) / Step::kDepth * Step::kDepth);
  }

  static RL_INLINE void encode(const float* h, int64_t n, float levels, Input* to) {
    const V high = set(levels), low = set(-levels);
    for (int64_t i = 0; i < n; i += kWidth) {
      const V scaled = load_n(h + i, n - i < kWidth ? int(n - i) : kWidth) * high;
      const VI q = round_int(min(max(scaled, low), high));  // a NaN is low
      for (int part = 0; part < Step::kParts; ++part)
        Step::store(to + part * plane_length(n) + i, Step::split(q, part));
    }
  }

  template <int Gates, int First, int Count, int R>
  static RL_INLINE void add(const Weights& w, int64_t tile, int64_t count, const Input* const* inputs,
                            float* const* sums) {
    constexpr int kAtOnce = Count * R <= MaxSums ? Count : (MaxSums / R > 0 ? MaxSums / R : 1);
    float* at[R];
    for (int r = 0; r < R; ++r) at[r] = sums[r];
    const auto next = [&](int tiles) {
      for (int r = 0; r < R; ++r) at[r] += tiles * Gates * kWidth;
      tile += tiles, count -= tiles;
    };
    if constexpr (R == 1 && TilesAlone == 2) {
      for (; count > 1; next(2)) add_integer_products<Step, Gates, First, Count, 2, R>(w, tile, inputs, at);
    }
    for (; count > 0; next(1)) add_gates<Gates, First, Count, kAtOnce, R>(w, tile, inputs, at);
  }

 private:
  template <int Gates, int First, int Count, int AtOnce, int R>
  static RL_INLINE void add_gates(const Weights& w, int64_t tile, const Input* const* inputs, float* const* sums) {
    constexpr int kNow = Count < AtOnce ? Count : AtOnce;
    add_integer_products<Step, Gates, First, kNow, 1, R>(w, tile, inputs, sums);
    if constexpr (Count > kNow) add_gates<Gates, First + kNow, Count - kNow, AtOnce, R>(w, tile, inputs, sums);
  }
};

}  // namespace
}  // namespace rushlight
