// Walks the blocks of a call and hands register tiles to the instruction set's kernels.
#pragma once

#include "kernels/gemm/gemm.h"
#include "kernels/gemm/tiles.h"
#include "kernels/kernel.h"
#include "kernels/vec/activation_kind.h"

namespace rushlight {

constexpr int64_t kGranule = 16;   // columns
constexpr int64_t kStepBytes = 4;  // of k, a column: what one multiply-add instruction takes in each lane

constexpr int64_t kHalfBytes = 2;  // of it in memory, where weights of float32 are packed in 16 bits

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// What a 4-byte step of src and weight holds: one f32, four u8/s8, four s8/s8 (src is u8 in memory, its sign bit is
// flipped on the way), or two s16 (made from u8/s8). u8x64: as u8x4, read sixteen steps at a time.
enum class GemmStep : uint8_t { f32, u8x4, u8x64, s8x4, s16x2 };

struct GemmFormat {
  GemmStep step;
  int64_t granules;                  // in the widest panel
  const GemmTiles* tiles = nullptr;  // not needed by a layout
  int64_t step_bytes = kStepBytes;   // of weights in memory, a column
};

// Rows of all columns of one panel: register tiles of `mr` rows (the kernel's own constant), one below the other. They
// take all steps of the panel or, where there is one tap, a chunk of them: sums lie in `partial` from one chunk to the
// next.
struct GemmTile {
  const std::byte* const* rows;  // `steps` steps of row i at rows[tap * row_stride + i] + offset; up to a whole mr
  int64_t row_stride, offset, taps, steps;
  const std::byte* panel;    // its header, if it has one
  int64_t panel_steps;       // of all taps and chunks
  const std::byte* weights;  // its steps, or the chunk's
  bool is_first, is_last;    // of the panel's chunks
  const std::byte* next;     // weights that are needed later, brought into L2 meanwhile
  int64_t next_bytes;
  bool streams;               // the panel comes from memory rather than from a cache
  std::byte* partial;         // whole tiles, below one another
  std::byte* dst;             // first `m` rows and `columns` columns are written
  const std::byte* residual;  // null if absent
  int64_t dst_row, residual_row;
  const float* scale;
  const float* bias;  // null if absent
  int64_t m, columns;
  float lo, hi, residual_scale;
  bool activates;  // with what follows, besides the limits lo and hi
  Activation activation;
  float alpha, beta;
};

using GemmTileFn = void (*)(const GemmTile& tile);

// The tiles of one kernel, as `tiles` has them.
struct GemmKernel {
  GemmStep step;
  int granules;
  int src_bytes, dst_bytes;  // of an element
  const GemmTiles& tiles;
  GemmTileFn variant[4][GemmHeights::kMost];
  // Where weights are packed in 16 bits, which `variant` reads as they are: the kernel that reads them widened, and
  // what widens so many, a multiple of 16.
  const GemmKernel* single = nullptr;
  void (*widen)(const std::byte* packed, int64_t weights, float* to) = nullptr;

  int64_t step_bytes() const { return single ? kHalfBytes : kStepBytes; }
};

void run_gemm(const GemmKernel& kernel, const Call& call, int64_t begin, int64_t end);

// How a call is cut into tasks.
struct GemmBlocks {
  int64_t m, m_block, m_blocks;
  int64_t m_run;  // rows of neighbouring tasks that one thread takes together, at most: they read the same panels
  int64_t panel_block, panel_blocks;
  int64_t batch;
  int64_t tasks;
};

GemmBlocks gemm_blocks(const GemmFormat& format, const GemmParams& params);

// Which blocks a task is: rows vary fastest and the batch slowest, or the other way where the batch shares rows.
struct GemmBlock {
  int64_t rows, panels, batch;
};

inline GemmBlock gemm_block(const GemmBlocks& blocks, bool shares_rows, int64_t task) {
  if (shares_rows)
    return {task / blocks.batch / blocks.panel_blocks, task / blocks.batch % blocks.panel_blocks, task % blocks.batch};
  return {task % blocks.m_blocks, task / blocks.m_blocks % blocks.panel_blocks,
          task / (blocks.m_blocks * blocks.panel_blocks)};
}

// How tiles read src: a pointer for every tap of a row; one for every kernel row, whose taps are neighbours in memory,
// with copies at the edges of the image; or copies of whole rows. All read the same weights.
enum class GemmReading : uint8_t { taps, runs, copies };
GemmReading gemm_reading(const GemmFormat& format, const GemmParams& params);

// Pointers a row, and steps that lie at each.
int64_t gemm_taps(GemmReading reading, const GemmParams& params);
int64_t gemm_tap_steps(const GemmFormat& format, const GemmParams& params);

// Whether products of the batch read the same pixels, at other channels: the groups of a convolution.
bool gemm_shares_rows(const GemmFormat& format, const GemmParams& params);

// Whether there are rows enough that weights of 16 bits are widened once for all of a block, not by every tile.
bool gemm_widens(const GemmFormat& format, int64_t rows);

size_t gemm_scratch_bytes(const GemmFormat& format, const GemmParams& params);

}  // namespace rushlight
