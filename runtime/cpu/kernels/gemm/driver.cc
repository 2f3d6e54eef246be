#include "kernels/gemm/driver.h"

#include <algorithm>
#include <limits>

#include "kernels/gemm/layout.h"
#include "kernels/gemm/rows.h"

namespace rushlight {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

const float* offset_or_null(const void* base, int64_t elements) {
  return base ? static_cast<const float*>(base) + elements : nullptr;
}

// Large panels pass by for a whole block of rows. Near ones take turns: every so many bytes of rows, which stay in L1,
// or, where dst are floats, every tile, so that rows of dst are written whole.
constexpr int64_t kNearBytes = 128 << 10, kChunkBytes = 16 << 10;

// Fetching ahead pays where what is fetched leaves room in L2 for what is read and there are tiles enough to hide it.
constexpr int64_t kFetchedBytes = 768 << 10, kFetchingTiles = 2;

// What a call's tasks have in common.
class GemmRun {
 public:
  GemmRun(const GemmKernel& kernel, const Call& call)
      : given_(kernel),
        call_(call),
        p_(*static_cast<const GemmParams*>(call.params)),
        format_{kernel.step, kernel.granules, &kernel.tiles, kernel.step_bytes()},
        layout_(gemm_layout(format_, p_)),
        blocks_(gemm_blocks(format_, p_)),
        rows_(format_, p_, blocks_, call.scratch),
        widens_(gemm_widens(format_, blocks_.m)),
        kernel_(widens_ ? *kernel.single : kernel),
        shares_rows_(gemm_shares_rows(format_, p_)),
        partial_(call.scratch + GemmRows::scratch_bytes(format_, p_, blocks_)),
        widened_(reinterpret_cast<float*>(partial_ + gemm_partial_bytes(format_, blocks_))) {
    tile_.taps = rows_.taps();
    tile_.row_stride = rows_.row_stride();
    tile_.panel_steps = layout_.steps();
    tile_.dst_row = p_.dst_row;
    tile_.residual_row = p_.residual_row;
    tile_.residual_scale = p_.residual_scale;
    tile_.activation = Activation(p_.activation);
    tile_.alpha = p_.alpha;
    tile_.beta = p_.beta;
    const bool is_clamp = tile_.activation == Activation::clamp, is_relu = tile_.activation == Activation::relu;
    tile_.activates = !is_clamp && !is_relu && tile_.activation != Activation::none;
    tile_.lo = is_clamp ? p_.alpha : is_relu ? 0.0f : -infinity;
    tile_.hi = is_clamp ? p_.beta : infinity;
    if (kernel.dst_bytes == 1) {
      tile_.lo = std::max(tile_.lo, 0.0f);
      tile_.hi = std::min(tile_.hi, 255.0f);
    }
  }

  // Tasks [begin, end), of which those that differ in their rows alone are one.
  void run_tasks(int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end;) {
      const GemmBlock block = gemm_block(blocks_, shares_rows_, task);
      int64_t rows = 1;
      if (!shares_rows_) {
        rows = std::min({blocks_.m_run / blocks_.m_block, blocks_.m_blocks - block.rows, end - task});
      }
      run_block(block, rows);
      task += rows;
    }
  }

 private:
  // blocks: how many blocks of rows, from the given one on.
  void run_block(const GemmBlock& block, int64_t blocks) {
    b0_ = block.batch / p_.batch[1];
    b1_ = block.batch % p_.batch[1];
    const int64_t begin = block.panels * blocks_.panel_block;
    const int64_t end = std::min(begin + blocks_.panel_block, layout_.panels());
    const std::byte* const src = static_cast<const std::byte*>(call_.operand[kGemmSrc]);
    const int64_t offset = batch_offset(p_.src_batch) * kernel_.src_bytes, src_offset = shares_rows_ ? 0 : offset;
    const int64_t m_begin = block.rows * blocks_.m_block;
    const int64_t m_end = std::min(m_begin + blocks * blocks_.m_block, blocks_.m);
    if (m_begin != m_begin_ || m_end != m_end_ || src_offset != src_offset_) {
      m_begin_ = m_begin;
      m_end_ = m_end;
      src_offset_ = src_offset;
      rows_.set(src + src_offset, m_begin_, m_end_);
    }
    offset_ = shares_rows_ ? offset : 0;
    const int64_t bytes = panel_end(end - 1) - layout_.panel(begin).offset;
    if (end - begin == 1 || (bytes <= kNearBytes && !widens_)) {
      run_in_turns(begin, end, bytes);
    } else {
      run_one_by_one(begin, end);
    }
  }

  // While the panels, of so many bytes, pass by again and again, in this block of rows and in the others, as many that
  // follow are fetched.
  void run_in_turns(int64_t begin, int64_t end, int64_t bytes) {
    const int64_t rows = m_end_ - m_begin_, height = main_height(layout_.panel(begin).granules);
    const int64_t row_bytes = std::max<int64_t>(layout_.steps() * kStepBytes, 1);
    const int64_t turn_tiles = std::max<int64_t>((kernel_.dst_bytes == 1 ? kChunkBytes : 0) / row_bytes / height, 1);
    const int64_t chunk = end - begin == 1 ? rows : turn_tiles * height;
    const int64_t turns = ceil_div(rows, chunk) * (end - begin);
    const int64_t share = fetches(begin) ? ceil_div(bytes * rows, turns * blocks_.m) : 0;
    int64_t next = panel_end(end - 1) + bytes * m_begin_ / blocks_.m;
    for (int64_t m = m_begin_; m < m_end_; m += chunk) {
      for (int64_t index = begin; index < end; ++index, next += share)
        run_panel(index, m, std::min(m + chunk, m_end_), next, share);
    }
  }

  // While a panel passes by, the next one is fetched; behind the last lie those of the next task or, as a rule, the
  // weights of the next product.
  void run_one_by_one(int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const bool is_needed = index + 1 < end || m_end_ == blocks_.m;
      const int64_t fetched = is_needed && fetches(index) ? panel_bytes(layout_.panel(index)) : 0;
      run_panel(index, m_begin_, m_end_, panel_end(index), fetched);
    }
  }

  // Whether something is fetched while the rows pass by the panel.
  bool fetches(int64_t index) const {
    const GemmPanel panel = layout_.panel(index);
    return ceil_div(m_end_ - m_begin_, main_height(panel.granules)) >= kFetchingTiles &&
           panel_bytes(panel) <= kFetchedBytes;
  }

  int64_t main_height(int64_t granules) const {
    return kernel_.tiles.heights.rows[granules - 1][gemm_main(kernel_.tiles, granules, p_.tile_rows)];
  }

  int64_t batch_offset(const int64_t (&stride)[2]) const { return b0_ * stride[0] + b1_ * stride[1]; }

  int64_t panel_bytes(const GemmPanel& panel) const { return panel.granules * kGranule * layout_.column_bytes(); }
  int64_t panel_end(int64_t index) const { return layout_.panel(index).offset + panel_bytes(layout_.panel(index)); }

  // Rows [begin, end) of one panel. next_bytes at `next` of the weights are brought into L2 meanwhile.
  void run_panel(int64_t index, int64_t begin, int64_t end, int64_t next, int64_t next_bytes) {
    const GemmPanel panel = layout_.panel(index);
    const std::byte* const matrix =
        static_cast<const std::byte*>(call_.operand[kGemmWeight]) + batch_offset(p_.weight_batch) * layout_.bytes();
    const int64_t bias = batch_offset(p_.bias_batch) + panel.column;
    tile_.panel = matrix + panel.offset;
    tile_.columns = std::min(panel.granules * kGranule, p_.n - panel.column);
    tile_.scale = offset_or_null(call_.operand[kGemmScale], bias);
    tile_.bias = offset_or_null(call_.operand[kGemmBias], bias);
    const int64_t rows = end - begin, width = panel.granules * kGranule, steps = layout_.steps();
    const int64_t tiles = ceil_div(rows, main_height(panel.granules));
    tile_.streams = tiles == 1;
    const int64_t step_bytes = width * layout_.step_bytes();
    const bool is_chunked = gemm_is_chunked(format_, tile_.taps, m_end_ - m_begin_) && tiles > 1;
    const int64_t chunk = is_chunked ? gemm_chunk(steps, widens_ ? width * kStepBytes : step_bytes) : steps;
    const GemmCut cut = gemm_cut(kernel_.tiles, panel.granules, rows, p_.tile_rows);
    int64_t first = 0;
    do {
      const int64_t count = std::min(chunk, steps - first), bytes = count * step_bytes;
      const std::byte* const packed = tile_.panel + width * layout_.header_bytes() + first * step_bytes;
      if (widens_) given_.widen(packed, count * width, widened_);
      tile_.weights = widens_ ? reinterpret_cast<const std::byte*>(widened_) : packed;
      tile_.offset = offset_ + first * kStepBytes;
      tile_.steps = count / tile_.taps;
      tile_.is_first = first == 0;
      tile_.is_last = first + chunk >= steps;
      // A chunk fetches the next one in its turn; the last one, as much of what follows.
      tile_.next = tile_.is_last ? matrix + next : packed + bytes;
      tile_.next_bytes = !tile_.is_last ? bytes : is_chunked ? std::min(next_bytes, bytes) : next_bytes;
      run_chunk(panel, cut, begin, end);
      first += chunk;
    } while (first < steps);
  }

  // All rows of one chunk.
  void run_chunk(const GemmPanel& panel, const GemmCut& cut, int64_t begin, int64_t end) {
    const GemmTileFn* const variants = kernel_.variant[panel.granules - 1];
    const auto run = [&](int variant, int64_t m, int64_t m_end) {
      if (m == m_end) return;
      tile_.partial = partial_ + (m - begin) * panel.granules * kGranule * kStepBytes;
      run_tiles(variants[variant], m, m_end, panel.column);
      tile_.next_bytes = 0;
    };
    const int64_t last = begin + cut.main_rows, second = last + cut.first_rows;
    run(cut.main, begin, last);
    run(cut.last.first, last, second);
    run(cut.last.second, second, end);
  }

  void run_tiles(GemmTileFn run, int64_t begin, int64_t end, int64_t column) {
    std::byte* const dst = static_cast<std::byte*>(call_.operand[kGemmDst]);
    const std::byte* const residual = static_cast<const std::byte*>(call_.operand[kGemmResidual]);
    tile_.m = end - begin;
    tile_.rows = rows_.pointers() + (begin - m_begin_);
    tile_.dst = dst + (batch_offset(p_.dst_batch) + begin * p_.dst_row + column) * kernel_.dst_bytes;
    if (residual) {
      const int64_t at = batch_offset(p_.residual_batch) + begin * p_.residual_row + column;
      tile_.residual = residual + at * kernel_.dst_bytes;
    }
    run(tile_);
  }

  const GemmKernel& given_;
  const Call& call_;
  const GemmParams& p_;
  const GemmFormat format_;
  const GemmLayout layout_;
  const GemmBlocks blocks_;
  GemmRows rows_;
  const bool widens_;         // weights of 16 bits, before tiles read them
  const GemmKernel& kernel_;  // whose tiles these are
  const bool shares_rows_;
  std::byte* const partial_;
  float* const widened_;
  GemmTile tile_{};
  int64_t offset_ = 0, m_begin_ = 0, m_end_ = 0, src_offset_ = 0, b0_ = 0, b1_ = 0;
};

}  // namespace

void run_gemm(const GemmKernel& kernel, const Call& call, int64_t begin, int64_t end) {
  GemmRun(kernel, call).run_tasks(begin, end);
}

}  // namespace rushlight
