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

// Panels in turn, so that a large one is read from L2 once a block; or rows in turn, so that small panels stay near and
// rows of dst are written whole.
constexpr int64_t kNearBytes = 128 << 10;

// Fetching ahead pays where the next panel leaves room for this one in L2 and there are tiles enough to hide it.
constexpr int64_t kFetchedBytes = 768 << 10, kFetchingTiles = 4;

// What a call's tasks have in common.
class GemmRun {
 public:
  GemmRun(const GemmKernel& kernel, const Call& call)
      : kernel_(kernel),
        call_(call),
        p_(*static_cast<const GemmParams*>(call.params)),
        format_{kernel.step, kernel.granules},
        layout_(gemm_layout(format_, p_)),
        blocks_(gemm_blocks(format_, p_)),
        rows_(format_, p_, blocks_, call.scratch),
        activation_(Activation(p_.activation)) {
    tile_.taps = rows_.taps();
    tile_.steps = layout_.steps() / rows_.taps();
    tile_.row_stride = rows_.row_stride();
    tile_.dst_row = p_.dst_row;
    tile_.residual_row = p_.residual_row;
    tile_.residual_scale = p_.residual_scale;
    tile_.lo = activation_ == Activation::clamp ? p_.alpha : activation_ == Activation::relu ? 0.0f : -infinity;
    tile_.hi = activation_ == Activation::clamp ? p_.beta : infinity;
    if (kernel.dst_bytes == 1) {
      tile_.lo = std::max(tile_.lo, 0.0f);
      tile_.hi = std::min(tile_.hi, 255.0f);
    }
  }

  void run_task(int64_t task) {
    m_begin_ = task % blocks_.m_blocks * blocks_.m_block;
    m_end_ = std::min(m_begin_ + blocks_.m_block, blocks_.m);
    const int64_t begin = task / blocks_.m_blocks % blocks_.panel_blocks * blocks_.panel_block;
    const int64_t end = std::min(begin + blocks_.panel_block, layout_.panels());
    const int64_t b = task / (blocks_.m_blocks * blocks_.panel_blocks);
    b0_ = b / p_.batch[1];
    b1_ = b % p_.batch[1];
    const std::byte* const src = static_cast<const std::byte*>(call_.operand[kGemmSrc]);
    rows_.set(src + batch_offset(p_.src_batch) * kernel_.src_bytes, m_begin_, m_end_);

    const GemmPanel first = layout_.panel(begin);
    const bool is_near = first.granules * kGranule * layout_.column_bytes() * (end - begin) <= kNearBytes;
    if (is_near && end - begin > 1) {
      const int64_t height = highest_variant(kernel_.variant[first.granules - 1]);
      for (int64_t m = m_begin_; m < m_end_; m += height) {
        for (int64_t index = begin; index < end; ++index)
          run_panel(index, m, std::min(m + height, m_end_), layout_.panels());
      }
    } else {
      const int64_t last = m_end_ == blocks_.m ? layout_.panels() : end;  // of what may be fetched ahead
      for (int64_t index = begin; index < end; ++index) run_panel(index, m_begin_, m_end_, std::min(index + 1, last));
    }
  }

 private:
  int64_t batch_offset(const int64_t (&stride)[2]) const { return b0_ * stride[0] + b1_ * stride[1]; }

  // Rows [begin, end) of one panel; `next` is the panel to fetch meanwhile, if there is one of this number.
  void run_panel(int64_t index, int64_t begin, int64_t end, int64_t next) {
    const GemmPanel panel = layout_.panel(index);
    const GemmVariant(&variants)[GemmKernel::kVariants] = kernel_.variant[panel.granules - 1];
    const std::byte* const matrix =
        static_cast<const std::byte*>(call_.operand[kGemmWeight]) + batch_offset(p_.weight_batch) * layout_.bytes();
    const int64_t bias = batch_offset(p_.bias_batch) + panel.column;
    tile_.panel = matrix + panel.offset;
    tile_.columns = std::min(panel.granules * kGranule, p_.n - panel.column);
    tile_.scale = offset_or_null(call_.operand[kGemmScale], bias);
    tile_.bias = offset_or_null(call_.operand[kGemmBias], bias);
    tile_.next = tile_.panel;
    tile_.next_step = 0;
    const int64_t tiles = ceil_div(end - begin, highest_variant(variants));
    const int64_t step_bytes = panel.granules * kGranule * kStepBytes;
    if (next < layout_.panels() && tiles >= kFetchingTiles && step_bytes * layout_.steps() <= kFetchedBytes) {
      tile_.next = matrix + layout_.panel(next).offset;
      tile_.next_step = ceil_div(step_bytes, tiles);
    }
    for (int64_t m = begin; m < end; m += tile_.m) {
      const GemmVariant& variant = lowest_variant(variants, end - m);
      tile_.m = std::min<int64_t>(variant.mr, end - m);
      run_tile(variant, m, panel.column);
      tile_.next += tile_.next_step * layout_.steps();
    }
  }

  void run_tile(const GemmVariant& variant, int64_t m, int64_t column) {
    std::byte* const dst = static_cast<std::byte*>(call_.operand[kGemmDst]);
    const std::byte* const residual = static_cast<const std::byte*>(call_.operand[kGemmResidual]);
    tile_.rows = rows_.pointers() + (m - m_begin_);
    tile_.dst = dst + (batch_offset(p_.dst_batch) + m * p_.dst_row + column) * kernel_.dst_bytes;
    if (residual) {
      tile_.residual = residual + (batch_offset(p_.residual_batch) + m * p_.residual_row + column) * kernel_.src_bytes;
    }
    variant.run(tile_);
    if (activation_ == Activation::none || activation_ == Activation::relu || activation_ == Activation::clamp) return;
    for (int64_t i = 0; i < tile_.m; ++i) {
      float* const row = reinterpret_cast<float*>(tile_.dst) + i * p_.dst_row;
      kernel_.activate(activation_, p_.alpha, p_.beta, row, tile_.columns);
    }
  }

  const GemmKernel& kernel_;
  const Call& call_;
  const GemmParams& p_;
  const GemmFormat format_;
  const GemmLayout layout_;
  const GemmBlocks blocks_;
  GemmRows rows_;
  const Activation activation_;
  GemmTile tile_{};
  int64_t m_begin_ = 0, m_end_ = 0, b0_ = 0, b1_ = 0;
};

}  // namespace

const GemmVariant& lowest_variant(const GemmVariant (&variants)[GemmKernel::kVariants], int64_t m) {
  int i = 0;
  while (variants[i].mr < m && i + 1 < GemmKernel::kVariants && variants[i + 1].run) ++i;
  return variants[i];
}

int highest_variant(const GemmVariant (&variants)[GemmKernel::kVariants]) {
  int mr = 0;
  for (const GemmVariant& variant : variants) mr = variant.run ? variant.mr : mr;
  return mr;
}

void run_gemm(const GemmKernel& kernel, const Call& call, int64_t begin, int64_t end) {
  GemmRun run(kernel, call);
  for (int64_t task = begin; task < end; ++task) run.run_task(task);
}

}  // namespace rushlight
