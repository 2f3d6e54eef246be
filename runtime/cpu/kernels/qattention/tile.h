// Products of a few rows of numbers with packed columns, for ISA files. Step says what numbers are and what a step of
// kWord bytes of them is:
//   Number, kDepth           uint8_t or int16_t, numbers in a step
//   kIsUnsigned              numbers are as they came, columns 128 less: terms of rows and columns make up for it
//   broadcast(p)             a step of a row in every lane
//   load(p)                  a step of kWidth columns
//   multiply_add(sum, a, b)  sum += sum over kDepth
#pragma once

#include "kernels/qattention/block.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// out[r][c] = factor * float(row_term[r] + column_term[c] + sum over the steps t of rows[r][t] * columns[t][c]):
// `m` rows, `width` columns, whole vectors. Strides are in bytes but that of `rows`.
template <class Step>
struct StepProduct {
  const typename Step::Number* rows;
  int64_t row_stride;
  const std::byte* columns;
  int64_t column_stride, steps;
  const int32_t* row_term;
  const int32_t* column_term;  // or null
  float factor;
  std::byte* out;
  int64_t out_stride;
  int64_t m, width;
};

template <class Step, int R, int N>
__attribute__((noinline)) void multiply_tile(const StepProduct<Step>& p) {
  VI sum[R][N];
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    const VI first = p.column_term ? load_i(p.column_term + n * kWidth) : set_i(0);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r][n] = first;
  }
  constexpr int kGroup = 3, kGroups = (R + kGroup - 1) / kGroup;  // rows that share a pointer
  const int64_t row_stride = p.row_stride, column_stride = p.column_stride;
  const std::byte* columns = p.columns;
  const typename Step::Number* row[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) row[g] = p.rows + g * kGroup * row_stride;
  for (int64_t t = p.steps; t > 0; --t, columns += column_stride) {
    decltype(Step::load(columns)) x[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) x[n] = Step::load(columns + n * kWidth * kWord);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const auto a = Step::broadcast(row[r / kGroup] + r % kGroup * row_stride);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) Step::multiply_add(sum[r][n], a, x[n]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) row[g] += Step::kDepth;
  }
  const V factor = set(p.factor);
  std::byte* out = p.out;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (r >= p.m) break;
    const VI term = set_i(p.row_term[r]);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(reinterpret_cast<float*>(out) + n * kWidth, to_float(sum[r][n] + term) * factor);
    out += p.out_stride;
  }
}

// As many rows as fit the registers beside N vectors of columns.
template <class Step, int N>
void multiply_strip(StepProduct<Step> p) {
  constexpr int64_t kMost = kWidth == 8 ? (N > 1 ? 6 : 12) : (N > 2 ? 6 : 12);
  for (int64_t left = p.m; left > 0;) {
    p.m = left < kMost ? left : kMost;
    if (p.m > 6) {
      if constexpr (kMost > 6) multiply_tile<Step, kMost, N>(p);
    } else if (p.m > 2) {
      multiply_tile<Step, 6, N>(p);
    } else if (p.m > 1) {
      multiply_tile<Step, 2, N>(p);
    } else {
      multiply_tile<Step, 1, N>(p);
    }
    left -= p.m;
    p.rows += p.m * p.row_stride;
    p.row_term += p.m;
    p.out += p.m * p.out_stride;
  }
}

// The same for p.width columns up to Most vectors.
template <class Step, int Most>
void multiply(const StepProduct<Step>& p) {
  const int64_t vectors = p.width / kWidth;
  if constexpr (Most >= 4) {
    if (vectors == 4) return multiply_strip<Step, 4>(p);
    if (vectors == 3) return multiply_strip<Step, 3>(p);
  }
  if constexpr (Most >= 2)
    if (vectors == 2) return multiply_strip<Step, 2>(p);
  multiply_strip<Step, 1>(p);
}

}  // namespace
}  // namespace rushlight
