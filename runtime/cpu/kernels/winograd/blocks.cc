#include "kernels/winograd/layout.h"

namespace rushlight {

namespace {

constexpr int64_t kNearBytes = 640 << 10;  // of a block's patches and products: they stay in L2
constexpr int64_t kMinTiles = 36;          // each weight that passes by is used for so many tiles
// Where the weights stay in L2 between blocks, fewer tiles will do to make a few tasks.
constexpr int64_t kNearWeights = 1 << 20, kFewTiles = 12, kFewTasks = 4;
constexpr int64_t kMaxTiles = 96;
constexpr int64_t kMinGranules = 4;      // of panels that share the transformed patches
constexpr int64_t kTasks = 16;           // enough for eight threads to end together
constexpr int64_t kTaskSteps = 1 << 19;  // multiply-adds that are worth a task
constexpr int64_t kLine = 64;            // bytes

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// So that the same element of all rows or points lies in different sets of L1.
int64_t odd_lines(int64_t bytes) { return (ceil_div(bytes, kLine) | 1) * kLine; }

}  // namespace

WinogradBlocks winograd_blocks(const WinogradFormat& format, const WinogradParams& p) {
  WinogradBlocks blocks{};
  blocks.tile_rows = ceil_div(p.oh, p.tile);
  blocks.tile_columns = ceil_div(p.ow, p.tile);
  blocks.tiles = p.images * blocks.tile_rows * blocks.tile_columns;
  if (blocks.tiles == 0 || p.n == 0) return blocks;

  const WinogradPanels panels(format, p);
  const int64_t points = winograd_points(p), product_bytes = panels.widest() * kWinogradGranule * kWinogradStepBytes;
  const int64_t weight_bytes = winograd_weight_bytes(format, p);
  blocks.patch_row = odd_lines(winograd_steps(format, p) * kWinogradStepBytes);
  blocks.sum_tile = winograd_parts(format, p) > 1 ? p.tile * p.tile * product_bytes : 0;
  const int64_t tile_bytes = points * (blocks.patch_row + product_bytes) + blocks.sum_tile;
  const int64_t most = std::clamp(kNearBytes / tile_bytes, kMinTiles, kMaxTiles);
  blocks.blocks = ceil_div(blocks.tiles, most);
  blocks.panel_blocks = 1;

  // A block of tiles reads all weights, a block of panels transforms all patches again: neither may be small.
  const int64_t wanted =
      std::clamp<int64_t>(p.groups * blocks.tiles * (weight_bytes / kWinogradStepBytes) / kTaskSteps, 1, kTasks);
  const int64_t most_panel_blocks = std::min(panels.count(), std::max<int64_t>(2, winograd_granules(p) / kMinGranules));
  const bool is_near = weight_bytes <= kNearWeights;
  while (p.groups * blocks.blocks * blocks.panel_blocks < wanted) {
    if (blocks.tiles > blocks.blocks * 2 * kMinTiles) {
      ++blocks.blocks;
    } else if (blocks.panel_blocks < most_panel_blocks) {
      ++blocks.panel_blocks;
    } else if (blocks.tiles > blocks.blocks * kMinTiles || (is_near && blocks.tiles > blocks.blocks * kFewTiles &&
                                                            blocks.blocks * blocks.panel_blocks < kFewTasks)) {
      ++blocks.blocks;
    } else {
      break;
    }
  }
  blocks.block = ceil_div(blocks.tiles, blocks.blocks);
  blocks.blocks = ceil_div(blocks.tiles, blocks.block);
  blocks.panel_block = ceil_div(panels.count(), blocks.panel_blocks);
  blocks.panel_blocks = ceil_div(panels.count(), blocks.panel_block);
  blocks.tasks = p.groups * blocks.blocks * blocks.panel_blocks;
  blocks.patch_point = odd_lines((blocks.block + 1) * blocks.patch_row);
  blocks.product_point = odd_lines((blocks.block + 1) * product_bytes);
  return blocks;
}

size_t winograd_scratch_bytes(const WinogradFormat& format, const WinogradParams& p) {
  const WinogradBlocks blocks = winograd_blocks(format, p);
  return size_t(winograd_points(p) * (blocks.patch_point + blocks.product_point) + blocks.block * blocks.sum_tile);
}

}  // namespace rushlight
