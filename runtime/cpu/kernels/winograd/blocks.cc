#include <algorithm>

#include "kernels/gemm/layout.h"
#include "kernels/winograd/driver.h"

namespace rushlight {

namespace {

constexpr int64_t kNearBytes = 1 << 20;  // of a block's patches and products: they stay in L2
constexpr int64_t kMinTiles = 24;        // each weight that passes by is used for so many tiles
constexpr int64_t kMaxTiles = 96;
constexpr int64_t kTasks = 16;           // enough for eight threads to end together
constexpr int64_t kTaskSteps = 1 << 19;  // multiply-adds that are worth a task
constexpr int64_t kLine = 16;            // floats

// So that the same element of all points lies in different sets of L1.
int64_t odd_lines(int64_t floats) { return (ceil_div(floats, kLine) | 1) * kLine; }

}  // namespace

WinogradBlocks winograd_blocks(const GemmFormat& format, const WinogradParams& p) {
  const GemmLayout layout(format, p.n, 1, p.c);
  WinogradBlocks blocks{};
  blocks.tile_rows = ceil_div(p.oh, p.tile);
  blocks.tile_columns = ceil_div(p.ow, p.tile);
  blocks.tiles = p.images * blocks.tile_rows * blocks.tile_columns;
  if (blocks.tiles == 0 || p.n == 0) return blocks;

  const int64_t points = winograd_points(p), panels = layout.panels(), width = layout.panel(0).granules * kGranule;
  blocks.patch_row = odd_lines(p.c);
  blocks.product_row = width;
  const int64_t tile_bytes = points * (blocks.patch_row + blocks.product_row) * int64_t(sizeof(float));
  const int64_t most = std::clamp(kNearBytes / tile_bytes, kMinTiles, kMaxTiles);
  blocks.blocks = ceil_div(blocks.tiles, most);
  blocks.panel_blocks = 1;

  const int64_t work = blocks.tiles * points * layout.bytes() / int64_t(sizeof(float));
  const int64_t wanted = std::clamp<int64_t>(work / kTaskSteps, 1, kTasks);
  while (blocks.blocks * blocks.panel_blocks < wanted) {
    if (blocks.tiles > blocks.blocks * kMinTiles) {
      ++blocks.blocks;
    } else if (blocks.panel_blocks < panels) {
      ++blocks.panel_blocks;
    } else {
      break;
    }
  }
  blocks.block = ceil_div(blocks.tiles, blocks.blocks);
  blocks.blocks = ceil_div(blocks.tiles, blocks.block);
  blocks.panel_block = ceil_div(panels, blocks.panel_blocks);
  blocks.panel_blocks = ceil_div(panels, blocks.panel_block);
  blocks.tasks = blocks.blocks * blocks.panel_blocks;
  blocks.patch_point = odd_lines(blocks.block * blocks.patch_row);
  blocks.product_point = odd_lines(blocks.block * blocks.product_row);
  blocks.pointers = blocks.block + GemmKernel::kMostRows;
  return blocks;
}

size_t winograd_scratch_bytes(const GemmFormat& format, const WinogradParams& p) {
  const WinogradBlocks blocks = winograd_blocks(format, p);
  const int64_t floats = winograd_points(p) * (blocks.patch_point + blocks.product_point);
  return size_t(floats) * sizeof(float) + size_t(blocks.pointers) * sizeof(void*);
}

}  // namespace rushlight
