// How calls are cut into tasks, and what they need of scratch memory.
#include <algorithm>

#include "kernels/gemm/driver.h"
#include "kernels/gemm/layout.h"
#include "kernels/gemm/rows.h"

namespace rushlight {

namespace {

constexpr int64_t kMaxRows = 240;
constexpr int64_t kSrcBytes = 128 << 10;  // of rows in a block: they stay in L2 while the panels pass by
constexpr int64_t kPanelBytes = 1 << 20;  // of panels in a block: they stay in L2 from one block of rows to the next
constexpr int64_t kShortTap = 17;         // steps: below, switching pointers for every tap costs too much
constexpr int64_t kHalfRows = 6;          // that read weights of 16 bits as they are
constexpr int64_t kTasks = 16;            // enough for eight threads to end together
constexpr int64_t kTaskSteps = 1 << 19;   // multiply-add steps that are worth a task: some 10 microseconds

// A multiple of the usual tile for the widest panel, so that only the last block has lower ones.
int64_t row_unit(const GemmFormat& format, const GemmLayout& layout, int64_t given) {
  const int64_t granules = layout.panel(0).granules;
  const int64_t height = format.tiles->heights.rows[granules - 1][gemm_main(*format.tiles, granules, given)];
  return format.granules == 1 ? 12 / height * height : height;
}

GemmReading reading_in_place(const GemmFormat& format, const GemmParams& p) {
  const bool is_whole = p.k % step_depth(format.step) == 0;
  if (is_whole && (p.kh * p.kw == 1 || p.k / step_depth(format.step) >= kShortTap)) return GemmReading::taps;
  if (p.kw == 1 || (p.dw == 1 && p.src_pixel == p.k)) return GemmReading::runs;
  return is_whole ? GemmReading::taps : GemmReading::copies;
}

// Tile registers take sixteen steps of sixteen rows in one load if the rows are equally far apart. Others are gathered
// anew for every 32 columns, unless all rows are copied once; the taps of a copy have no gaps. In cycles a row, by
// count of instructions, not measured.
bool tiles_prefer_copies(const GemmFormat& format, const GemmParams& p, GemmReading reading) {
  if (p.kh * p.kw * p.oh * p.ow == 1) return false;
  constexpr double kCopyCycles = 1.5;
  const double granules = double(ceil_div(p.n, kGranule)), passes = double(ceil_div(p.n, 2 * kGranule));
  const double uneven = std::min(1.0, 16.0 / double(p.ow));  // of sixteen neighbouring rows
  const int64_t steps = gemm_layout(format, p).steps(), taps = gemm_taps(reading, p);
  const double in_place = double(taps * ceil_div(steps / taps, 16)) * (granules + kCopyCycles * passes * uneven);
  return double(ceil_div(steps, 16)) * (granules + kCopyCycles) < in_place;
}

}  // namespace

GemmReading gemm_reading(const GemmFormat& format, const GemmParams& p) {
  if (format.step == GemmStep::s16x2) return GemmReading::copies;
  const GemmReading reading = reading_in_place(format, p);
  const bool copies = format.step == GemmStep::u8x64 && tiles_prefer_copies(format, p, reading);
  return copies ? GemmReading::copies : reading;
}

int64_t gemm_taps(GemmReading reading, const GemmParams& p) {
  return reading == GemmReading::taps ? p.kh * p.kw : reading == GemmReading::runs ? p.kh : 1;
}

int64_t gemm_tap_steps(const GemmFormat& format, const GemmParams& p) {
  return gemm_layout(format, p).steps() / gemm_taps(gemm_reading(format, p), p);
}

bool gemm_shares_rows(const GemmFormat& format, const GemmParams& p) {
  const int64_t reach = (p.batch[0] - 1) * p.src_batch[0] + (p.batch[1] - 1) * p.src_batch[1] + p.k;
  return gemm_reading(format, p) == GemmReading::taps && p.batch[0] * p.batch[1] > 1 && reach <= p.src_pixel;
}

GemmBlocks gemm_blocks(const GemmFormat& format, const GemmParams& p) {
  const GemmLayout layout = gemm_layout(format, p);
  GemmBlocks blocks{};
  blocks.m = p.images * p.oh * p.ow;
  if (blocks.m == 0 || p.n == 0) return blocks;

  // Neighbouring rows of a convolution read the same pixels: each brings stride x stride new ones.
  const GemmReading reading = gemm_reading(format, p);
  const int64_t pixels = reading == GemmReading::copies ? p.kh * p.kw : std::min(p.sh * p.sw, p.kh * p.kw);
  const int64_t row_bytes = std::max<int64_t>(ceil_div(p.k, step_depth(format.step)) * kStepBytes * pixels, 1);
  const int64_t unit = row_unit(format, layout, p.tile_rows);
  const int64_t rows = std::clamp(kSrcBytes / row_bytes, 4 * unit, kMaxRows);
  blocks.m_blocks = std::max<int64_t>((blocks.m + rows / 2) / rows, 1);  // to the nearest: a block may be half larger
  const int64_t most = ceil_div(ceil_div(blocks.m, blocks.m_blocks), unit) * unit;

  const int64_t panels = layout.panels();
  const int64_t panel_bytes = std::max<int64_t>(layout.bytes() / panels, 1);
  blocks.panel_block = std::clamp<int64_t>(kPanelBytes / panel_bytes, 1, panels);
  blocks.panel_blocks = ceil_div(panels, blocks.panel_block);

  const int64_t batch = p.batch[0] * p.batch[1];
  const int64_t work = batch * blocks.m * p.n * std::max<int64_t>(layout.steps(), 1);
  const int64_t wanted = std::clamp<int64_t>(work / kTaskSteps, 1, kTasks);
  while (batch * blocks.m_blocks * blocks.panel_blocks < wanted) {
    const bool can_split_rows = blocks.m > blocks.m_blocks * 4 * unit;
    const bool prefers_rows = blocks.m > kChunkedRows && layout.bytes() <= std::min(kPanelBytes, blocks.m * row_bytes);
    if (can_split_rows && (prefers_rows || blocks.panel_blocks == panels)) {
      ++blocks.m_blocks;
    } else if (blocks.panel_blocks < panels) {
      ++blocks.panel_blocks;
    } else {
      break;
    }
  }
  blocks.m_block = ceil_div(ceil_div(blocks.m, blocks.m_blocks), unit) * unit;
  blocks.m_blocks = ceil_div(blocks.m, blocks.m_block);
  blocks.m_run = std::max(most / blocks.m_block, int64_t(1)) * blocks.m_block;
  blocks.panel_block = ceil_div(panels, blocks.panel_blocks);
  blocks.panel_blocks = ceil_div(panels, blocks.panel_block);
  blocks.batch = batch;
  blocks.tasks = batch * blocks.m_blocks * blocks.panel_blocks;
  return blocks;
}

bool gemm_widens(const GemmFormat& format, int64_t rows) { return format.step_bytes < kStepBytes && rows > kHalfRows; }

size_t gemm_scratch_bytes(const GemmFormat& format, const GemmParams& p) {
  const GemmBlocks blocks = gemm_blocks(format, p);
  const int64_t sums = GemmRows::scratch_bytes(format, p, blocks) + gemm_partial_bytes(format, blocks);
  if (blocks.tasks == 0 || !gemm_widens(format, blocks.m)) return size_t(sums);
  const GemmLayout layout = gemm_layout(format, p);
  return size_t(sums + layout.panel(0).granules * kGranule * layout.steps() * kStepBytes);
}

}  // namespace rushlight
