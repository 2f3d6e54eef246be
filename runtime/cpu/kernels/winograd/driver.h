// Cuts a call into blocks of tiles, and hands patches, products and results to the instruction set's kernels.
#pragma once

#include "kernels/gemm/driver.h"
#include "kernels/kernel.h"
#include "kernels/winograd/winograd.h"

namespace rushlight {

// One patch of src, to be transformed: pixel (y, x) of it is image[at + y * row + x * pixel] for y in [y_begin, y_end)
// and x in [x_begin, x_end), and 0 elsewhere.
struct WinogradPatch {
  const float* image;
  int64_t at, row, pixel;
  int y_begin, y_end, x_begin, x_end;
  int64_t channels;
  float* dst;  // point p, channel c: dst[p * point + c], channels filled up to whole vectors with zeros
  int64_t point;
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
  GemmKernel product;
  void (*transform_patch[2])(const WinogradPatch& patch);     // for tiles of 2 and of 4
  void (*transform_result[2])(const WinogradResult& result);  // likewise
};

void run_winograd(const WinogradKernel& kernel, const Call& call, int64_t begin, int64_t end);

inline int64_t winograd_points(const WinogradParams& p) { return (p.tile + 2) * (p.tile + 2); }

// How a call is cut into tasks: blocks of panels (fastest), blocks of tiles. And the scratch memory of a task, in
// floats: transformed patches [point][tile][channel], products of one panel [point][tile][column], then pointers.
struct WinogradBlocks {
  int64_t tile_rows, tile_columns, tiles;  // in an image; in all
  int64_t block, blocks;                   // tiles
  int64_t panel_block, panel_blocks;
  int64_t tasks;
  int64_t patch_row, patch_point;
  int64_t product_row, product_point;
  int64_t pointers;
};

WinogradBlocks winograd_blocks(const GemmFormat& format, const WinogradParams& params);
size_t winograd_scratch_bytes(const GemmFormat& format, const WinogradParams& params);

}  // namespace rushlight
