// Products of transformed patches and weights, for ISA files only.
#pragma once

#include "kernels/vec/vec.h"
#include "kernels/winograd/driver.h"

#define RL_UNROLL _Pragma("GCC unroll 16")

namespace rushlight {
namespace {

// What comes next, to be brought near while the products run: bytes a channel, the first two for every row of a group.
struct Ahead {
  int64_t patch, product;  // into L1
  const char* weights;     // into L2
  int64_t weight;
};

// MR rows of patches by NV vectors of columns. Three rows share a pointer: so all pointers stay in registers.
template <int MR, int NV>
__attribute__((noinline)) void multiply_rows(const WinogradProduct& product, const float* patches, const float* weights,
                                             float* products, const Ahead& ahead) {
  constexpr int kPointers = (MR + 2) / 3;
  const int64_t row = product.patch_row, patch_step = MR * ahead.patch, product_step = MR * ahead.product;
  const int64_t weight_step = ahead.weight;
  const float* pointer[kPointers];
  V acc[MR][NV];
  RL_UNROLL
  for (int i = 0; i < kPointers; ++i) pointer[i] = patches + 3 * i * row;
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    RL_UNROLL
    for (int j = 0; j < NV; ++j) acc[i][j] = zero();
  }
  const char* next_patch = reinterpret_cast<const char*>(patches + MR * row);
  const char* next_product = reinterpret_cast<const char*>(products);
  const char* next_weight = ahead.weights;
  for (int64_t c = 0; c < product.channels; ++c) {
    V b[NV];
    RL_UNROLL
    for (int j = 0; j < NV; ++j) b[j] = load(weights + j * kWidth);
    weights += NV * kWidth;
    __builtin_prefetch(next_patch, 0, 3);
    __builtin_prefetch(next_product, 1, 3);
    __builtin_prefetch(next_weight, 0, 2);
    next_patch += patch_step;
    next_product += product_step;
    next_weight += weight_step;
    RL_UNROLL
    for (int i = 0; i < MR; ++i) {
      const V a = set(pointer[i / 3][i % 3 * row]);
      RL_UNROLL
      for (int j = 0; j < NV; ++j) acc[i][j] = fma(a, b[j], acc[i][j]);
    }
    RL_UNROLL
    for (int i = 0; i < kPointers; ++i) ++pointer[i];
  }
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    RL_UNROLL
    for (int j = 0; j < NV; ++j) store(products + (i * NV + j) * kWidth, acc[i][j]);
  }
}

using MultiplyRows = void (*)(const WinogradProduct&, const float*, const float*, float*, const Ahead&);

// Tiles in groups of nearly equal, even heights of at most `Height`: 2, 4, ... 12.
template <int Granules, int Height>
void multiply(const WinogradProduct& product) {
  constexpr int kVectors = Granules * 16 / kWidth;
  static_assert(Height % 2 == 0 && Height <= 12);
  static constexpr MultiplyRows kRows[] = {
      multiply_rows<2, kVectors>,
      multiply_rows < Height < 4 ? Height : 4,
      kVectors >,
      multiply_rows < Height < 6 ? Height : 6,
      kVectors >,
      multiply_rows < Height < 8 ? Height : 8,
      kVectors >
      , multiply_rows < Height < 10 ? Height : 10, kVectors >, multiply_rows < Height < 12 ? Height : 12, kVectors >,
  };
  const int64_t tiles = product.tiles, channels = product.channels, groups = (tiles + Height - 1) / Height;
  const int64_t columns = kVectors * kWidth, panel = channels * columns, steps = channels > 0 ? channels : 1;
  const auto bytes_a_step = [](int64_t floats, int64_t n) { return (floats * int64_t(sizeof(float)) + n - 1) / n; };
  Ahead ahead{bytes_a_step(product.patch_row, steps), bytes_a_step(columns, steps), nullptr,
              bytes_a_step(columns, groups)};
  const float* weights = product.weights;
  for (int64_t point = 0; point < product.points; ++point, weights += panel) {
    const float* patches = product.patches + point * product.patch_point;
    float* products = product.products + point * product.product_point;
    ahead.weights = reinterpret_cast<const char*>(weights + panel);
    for (int64_t rest = tiles, group = groups; group > 0; --group) {
      const int64_t pairs = ((rest + group - 1) / group + 1) / 2, rows = 2 * pairs;
      kRows[pairs - 1](product, patches, weights, products, ahead);
      patches += rows * product.patch_row;
      products += rows * columns;
      ahead.weights += ahead.weight * channels;
      rest -= rows;
    }
  }
}

}  // namespace
}  // namespace rushlight
