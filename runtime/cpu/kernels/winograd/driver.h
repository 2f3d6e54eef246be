// Hands the patches, products and results of a call's tiles to the instruction set's kernels.
#pragma once

#include "kernels/kernel.h"
#include "kernels/vec/activation_kind.h"
#include "kernels/winograd/winograd.h"

namespace rushlight {

// One patch of src, to be transformed: pixel (y, x) of it is image[at + y * row + x * pixel] for y in [y_begin, y_end)
// and x in [x_begin, x_end), and 0 or the zero point elsewhere.
struct WinogradPatch {
  const void* image;  // f32 or u8
  int64_t at, row, pixel;
  int64_t y_begin, y_end, x_begin, x_end;
  bool is_whole;  // all of it is inside
  int64_t channels, zero_point;
  std::byte*
      dst;  // point p: at dst + p * point, f32 or s16 by channels, filled up to whole vectors with anything finite
  int64_t point;  // bytes
};

// The products of transformed patches with one panel, for all points and some tiles. Up to a tile more is computed: it
// has to be readable and writable.
struct WinogradProduct {
  const std::byte* patches;  // [point][tile][step], patch_point and patch_row bytes apart
  int64_t patch_row, patch_point;
  const std::byte* weights;  // [point][step][column], points weight_point bytes apart; the next is fetched ahead
  int64_t weight_point;
  std::byte* products;  // [point][tile][column], f32 or int32, product_point bytes and columns apart
  int64_t product_point;
  int64_t points, tiles, steps;
};

// One tile's products, to become results.
struct WinogradResult {
  const std::byte*
      products;            // point p, column n: element n of products + p * point, columns filled up to whole vectors
  int64_t point, columns;  // bytes; elements
  const float* bias;       // null if absent
  const float* scale;      // of integers
  const int32_t* correction;  // of integers: to be added to the sums
  int32_t* sums;  // of integers: null, or what is to be added to sum y * tile + x of column n, at sum_row * that + n
  int64_t sum_row;
  const void* residual;  // of the type of the results; null if absent
  void* dst;             // result (y, x): element y * dst_row + x * dst_pixel
  int64_t dst_row, dst_pixel, residual_row, residual_pixel;
  int rows, cols;  // results that are stored
  float lo, hi, residual_scale;
};

// Rows of a register tile of three granules; others have as many as the row says.
constexpr int kWinogradLowHeight = 8;

struct WinogradKernel {
  int64_t nr;
  int src_bytes, dst_bytes;                                   // of an element
  void (*transform_patch[2])(const WinogradPatch& patch);     // for tiles of 2 and of 4
  void (*multiply[3])(const WinogradProduct& product);        // for panels of 1 to 3 granules, up to one more than nr
  void (*transform_result[2])(const WinogradResult& result);  // for tiles of 2 and of 4
  void (*add_sums[2])(const WinogradResult& result, bool are_first);  // of integers: only to result.sums
  void (*activate)(Activation kind, float alpha, float beta, float* x, int64_t n);
};

void run_winograd(const WinogradKernel& kernel, const Call& call, int64_t begin, int64_t end);

}  // namespace rushlight
