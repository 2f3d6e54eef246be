// Hands the patches, products and results of a call's tiles to the instruction set's kernels.
#pragma once

#include "kernels/kernel.h"
#include "kernels/vec/activation_kind.h"
#include "kernels/winograd/winograd.h"

namespace rushlight {

// One patch of src, to be transformed: pixel (y, x) of it is image[at + y * row + x * pixel] for y in [y_begin, y_end)
// and x in [x_begin, x_end), and 0 elsewhere.
struct WinogradPatch {
  const float* image;
  int64_t at, row, pixel;
  int64_t y_begin, y_end, x_begin, x_end;
  bool is_whole;  // all of it is inside
  int64_t channels;
  float* dst;  // point p, channel c: dst[p * point + c], channels filled up to whole vectors with zeros
  int64_t point;
};

// The products of transformed patches with one panel, for all points and some tiles. Up to a tile more is computed: it
// has to be readable and writable.
struct WinogradProduct {
  const float* patches;  // [point][tile][channel], patch_point and patch_row apart
  int64_t patch_row, patch_point;
  const float* weights;  // [point][channel][column], dense; what follows is fetched ahead
  float* products;       // [point][tile][column], product_point and columns apart
  int64_t product_point;
  int64_t points, tiles, channels;
};

// One tile's products, to become results.
struct WinogradResult {
  const float* products;  // point p, column n: products[p * point + n], columns filled up to whole vectors
  int64_t point, columns;
  const float* bias;      // null if absent
  const float* residual;  // null if absent
  float* dst;             // result (y, x): dst + y * dst_row + x * dst_pixel
  int64_t dst_row, dst_pixel, residual_row, residual_pixel;
  int rows, cols;  // results that are stored
  float lo, hi;
};

struct WinogradKernel {
  int64_t nr;
  void (*transform_patch[2])(const WinogradPatch& patch);     // for tiles of 2 and of 4
  void (*multiply[3])(const WinogradProduct& product);        // for panels of 1 to 3 granules, up to one more than nr
  void (*transform_result[2])(const WinogradResult& result);  // for tiles of 2 and of 4
  void (*activate)(Activation kind, float alpha, float beta, float* x, int64_t n);
};

void run_winograd(const WinogradKernel& kernel, const Call& call, int64_t begin, int64_t end);

}  // namespace rushlight
