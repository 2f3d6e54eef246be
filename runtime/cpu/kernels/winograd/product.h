// Products of transformed patches and weights, for ISA files only.
#pragma once

#include "kernels/vec/vec.h"
#include "kernels/winograd/driver.h"

#define RL_UNROLL _Pragma("GCC unroll 16")

namespace rushlight {
namespace {

// A step: what one multiply-add takes in each lane, 4 bytes of each operand.
struct StepF32 {
  using Acc = V;
  static RL_INLINE V start() { return zero(); }
  static RL_INLINE V broadcast(const std::byte* p) { return set(*reinterpret_cast<const float*>(p)); }
  static RL_INLINE V load(const std::byte* p) { return rushlight::load(reinterpret_cast<const float*>(p)); }
  static RL_INLINE void store(std::byte* p, V a) { rushlight::store(reinterpret_cast<float*>(p), a); }
  static RL_INLINE void multiply_add(V& acc, V a, V b) { acc = fma(a, b, acc); }
};

// What comes next, to be brought near while the products run: bytes a step, the first two for every row of a group.
struct Ahead {
  int64_t patch, product;    // into L1
  const std::byte* weights;  // into L2
  int64_t weight;
};

// MR rows of patches by NV vectors of columns. Three rows share a pointer: so all pointers stay in registers.
template <class Step, int MR, int NV>
__attribute__((noinline)) void multiply_rows(const WinogradProduct& product, const std::byte* patches,
                                             const std::byte* weights, std::byte* products, const Ahead& ahead) {
  constexpr int kPointers = (MR + 2) / 3, kVectorBytes = kWidth * 4;
  const int64_t row = product.patch_row, patch_step = MR * ahead.patch, product_step = MR * ahead.product;
  const int64_t weight_step = ahead.weight;
  const std::byte* pointer[kPointers];
  typename Step::Acc acc[MR][NV];
  RL_UNROLL
  for (int i = 0; i < kPointers; ++i) pointer[i] = patches + 3 * i * row;
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    RL_UNROLL
    for (int j = 0; j < NV; ++j) acc[i][j] = Step::start();
  }
  const std::byte* next_patch = patches + MR * row;
  const std::byte* next_product = products;
  const std::byte* next_weight = ahead.weights;
  for (int64_t step = 0; step < product.steps; ++step) {
    typename Step::Acc b[NV];
    RL_UNROLL
    for (int j = 0; j < NV; ++j) b[j] = Step::load(weights + j * kVectorBytes);
    weights += NV * kVectorBytes;
    __builtin_prefetch(next_patch, 0, 3);
    __builtin_prefetch(next_product, 1, 3);
    __builtin_prefetch(next_weight, 0, 2);
    next_patch += patch_step;
    next_product += product_step;
    next_weight += weight_step;
    RL_UNROLL
    for (int i = 0; i < MR; ++i) {
      const typename Step::Acc a = Step::broadcast(pointer[i / 3] + i % 3 * row);
      RL_UNROLL
      for (int j = 0; j < NV; ++j) Step::multiply_add(acc[i][j], a, b[j]);
    }
    RL_UNROLL
    for (int i = 0; i < kPointers; ++i) pointer[i] += 4;
  }
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    RL_UNROLL
    for (int j = 0; j < NV; ++j) Step::store(products + (i * NV + j) * kVectorBytes, acc[i][j]);
  }
}

using MultiplyRows = void (*)(const WinogradProduct&, const std::byte*, const std::byte*, std::byte*, const Ahead&);

// Tiles in groups of nearly equal, even heights of at most `Height`: 2, 4, ... 12.
template <class Step, int Granules, int Height>
void multiply(const WinogradProduct& product) {
  constexpr int kVectors = Granules * 16 / kWidth;
  static_assert(Height % 2 == 0 && Height <= 12);
  constexpr auto at_most = [](int rows) { return rows < Height ? rows : Height; };
  static constexpr MultiplyRows kRows[] = {
      multiply_rows<Step, 2, kVectors>,           multiply_rows<Step, at_most(4), kVectors>,
      multiply_rows<Step, at_most(6), kVectors>,  multiply_rows<Step, at_most(8), kVectors>,
      multiply_rows<Step, at_most(10), kVectors>, multiply_rows<Step, at_most(12), kVectors>,
  };
  const int64_t tiles = product.tiles, groups = (tiles + Height - 1) / Height;
  const int64_t row_bytes = kVectors * kWidth * 4;
  const int64_t steps = product.steps > 0 ? product.steps : 1;
  const auto bytes_a_step = [](int64_t bytes, int64_t n) { return (bytes + n - 1) / n; };
  Ahead ahead{bytes_a_step(product.patch_row, steps), bytes_a_step(row_bytes, steps), nullptr,
              bytes_a_step(row_bytes, groups)};
  const std::byte* weights = product.weights;
  for (int64_t point = 0; point < product.points; ++point, weights += product.weight_point) {
    const std::byte* patches = product.patches + point * product.patch_point;
    std::byte* products = product.products + point * product.product_point;
    ahead.weights = weights + product.weight_point;
    for (int64_t rest = tiles, group = groups; group > 0; --group) {
      const int64_t pairs = ((rest + group - 1) / group + 1) / 2, rows = 2 * pairs;
      kRows[pairs - 1](product, patches, weights, products, ahead);
      patches += rows * product.patch_row;
      products += rows * row_bytes;
      ahead.weights += ahead.weight * product.steps;
      rest -= rows;
    }
  }
}

}  // namespace
}  // namespace rushlight
