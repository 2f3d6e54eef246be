// Products of a few rows with packed columns, for ISA files.
#pragma once

#include "kernels/attention/block.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// out[r][c] = factor[r] * sum over t of rows[r][t] * columns[t][c], one FMA chain from +0: `m` rows, `width` columns.
struct StripProduct {
  const float* rows;
  int64_t row_stride;
  const float* columns;
  int64_t column_stride;
  int64_t count;
  const float* factor;
  float* out;
  int64_t out_stride;
  int64_t m, width;
};

template <int R, int N>
__attribute__((noinline)) void multiply_tile(const StripProduct& p) {
  V sum[R][N];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[r][n] = zero();
  constexpr int kGroup = 3, kGroups = (R + kGroup - 1) / kGroup;  // rows that share a pointer
  const int64_t row_stride = p.row_stride, column_stride = p.column_stride;
  const float* columns = p.columns;
  const float* row[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) row[g] = p.rows + g * kGroup * row_stride;
  for (int64_t t = p.count; t > 0; --t, columns += column_stride) {
    V x[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) x[n] = load(columns + n * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const V factor = set(row[r / kGroup][r % kGroup * row_stride]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = fma(factor, x[n], sum[r][n]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) ++row[g];
  }
  float* out = p.out;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (r >= p.m) break;
    const V factor = set(p.factor[r]);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      const int64_t left = p.width - n * kWidth;
      if (left >= kWidth) {
        store(out + n * kWidth, sum[r][n] * factor);
      } else {
        store_n(out + n * kWidth, sum[r][n] * factor, int(left));
      }
    }
    out += p.out_stride;
  }
}

// As many rows as fit the registers beside N vectors of columns.
template <int N>
void multiply_strip(StripProduct p) {
  constexpr int64_t kMost = kWidth == 8 ? (N > 1 ? 6 : 12) : (N > 2 ? 6 : 12);
  for (int64_t left = p.m; left > 0;) {
    p.m = left < kMost ? left : kMost;
    if (p.m > 6) {
      if constexpr (kMost > 6) multiply_tile<kMost, N>(p);
    } else if (p.m > 2) {
      multiply_tile<6, N>(p);
    } else if (p.m > 1) {
      multiply_tile<2, N>(p);
    } else {
      multiply_tile<1, N>(p);
    }
    left -= p.m;
    p.rows += p.m * p.row_stride;
    p.out += p.m * p.out_stride;
    p.factor += p.m;
  }
}

// The same for p.width columns up to Most vectors.
template <int Most>
void multiply(const StripProduct& p) {
  const int64_t vectors = (p.width + kWidth - 1) / kWidth;
  if constexpr (Most >= 4) {
    if (vectors == 4) return multiply_strip<4>(p);
    if (vectors == 3) return multiply_strip<3>(p);
  }
  if constexpr (Most >= 2)
    if (vectors == 2) return multiply_strip<2>(p);
  multiply_strip<1>(p);
}

}  // namespace
}  // namespace rushlight
