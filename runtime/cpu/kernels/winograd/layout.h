// How a call is cut into panels of columns and into tasks, and where a task's scratch memory lies.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/kernel.h"
#include "kernels/winograd/winograd.h"

namespace rushlight {

constexpr int64_t kWinogradGranule = 16;   // columns: panels are whole granules
constexpr int64_t kWinogradStepBytes = 4;  // of patches and weights, a column

// Columns of a panel and channels of a step: one f32 or two s16.
struct WinogradFormat {
  int64_t nr, depth;
  bool is_integer() const { return depth > 1; }
};

inline WinogradFormat winograd_format(const Row& row) { return {row.nr, row.types[0] == 'f' ? 1 : 2}; }

inline int64_t winograd_points(const WinogradParams& p) { return (p.tile + 2) * (p.tile + 2); }
inline int64_t winograd_granules(const WinogradParams& p) { return (p.n + kWinogradGranule - 1) / kWinogradGranule; }
inline int64_t winograd_steps(const WinogradFormat& format, const WinogradParams& p) {
  return (p.c + format.depth - 1) / format.depth;
}
inline int64_t winograd_part_steps(const WinogradFormat& format, const WinogradParams& p) {
  const int64_t parts = std::max<int64_t>(p.parts, 1);
  return std::max<int64_t>((winograd_steps(format, p) + parts - 1) / parts, 1);
}
// As many as have channels, at least one.
inline int64_t winograd_parts(const WinogradFormat& format, const WinogradParams& p) {
  const int64_t steps = winograd_part_steps(format, p);
  return std::max<int64_t>((winograd_steps(format, p) + steps - 1) / steps, 1);
}
// Steps of a column's weights, with the correction before them.
inline int64_t winograd_column_steps(const WinogradFormat& format, const WinogradParams& p) {
  return winograd_points(p) * winograd_steps(format, p) + format.is_integer();
}
// Of one group, as are panels.
inline int64_t winograd_weight_bytes(const WinogradFormat& format, const WinogradParams& p) {
  return winograd_column_steps(format, p) * winograd_granules(p) * kWinogradGranule * kWinogradStepBytes;
}

struct WinogradPanel {
  int64_t column, granules;
  int64_t offset;  // bytes from the start of the weights
};

// Panels of `nr` columns, some a granule wider: none is narrower, but where there are no more columns.
class WinogradPanels {
 public:
  WinogradPanels(const WinogradFormat& format, const WinogradParams& p)
      : granules_(winograd_granules(p)),
        count_(std::max<int64_t>(granules_ / (format.nr / kWinogradGranule), granules_ > 0)),
        column_bytes_(winograd_column_steps(format, p) * kWinogradStepBytes) {}

  int64_t count() const { return count_; }
  int64_t widest() const { return granules_ / count_ + (granules_ % count_ > 0); }
  WinogradPanel panel(int64_t index) const {
    const int64_t least = granules_ / count_, wide = granules_ % count_;
    const int64_t column = (index * least + std::min(index, wide)) * kWinogradGranule;
    return {column, least + (index < wide), column * column_bytes_};
  }

 private:
  int64_t granules_, count_, column_bytes_;
};

// Tasks are blocks of panels (fastest) by blocks of tiles by groups. Scratch memory: transformed patches
// [point][tile][step], then the products of one panel [point][tile][column]; both have one row more than tiles. Then,
// where there are parts, the sums of one panel over those that are done, [tile][result][column].
struct WinogradBlocks {
  int64_t tile_rows, tile_columns, tiles;  // in an image; in all
  int64_t block, blocks;                   // tiles
  int64_t panel_block, panel_blocks;
  int64_t tasks;
  int64_t patch_row, patch_point;  // bytes
  int64_t product_point;
  int64_t sum_tile;  // 0 where there is one part
};

WinogradBlocks winograd_blocks(const WinogradFormat& format, const WinogradParams& params);
size_t winograd_scratch_bytes(const WinogradFormat& format, const WinogradParams& params);

}  // namespace rushlight
