#include "kernels/gemm/driver.h"

#include <algorithm>
#include <limits>

#include "kernels/gemm/layout.h"
#include "kernels/gemm/rows.h"

namespace rushlight {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// The lowest tile that covers `m` rows, or the highest there is.
const GemmVariant& choose_variant(const GemmVariant (&variants)[GemmKernel::kVariants], int64_t m) {
  int i = 0;
  while (variants[i].mr < m && i + 1 < GemmKernel::kVariants && variants[i + 1].run) ++i;
  return variants[i];
}

const float* offset_or_null(const void* base, int64_t elements) {
  return base ? static_cast<const float*>(base) + elements : nullptr;
}

}  // namespace

void run_gemm(const GemmKernel& kernel, const Call& call, int64_t begin, int64_t end) {
  const GemmParams& p = *static_cast<const GemmParams*>(call.params);
  const GemmFormat format{kernel.step, kernel.granules};
  const GemmLayout layout = gemm_layout(format, p);
  const GemmBlocks blocks = gemm_blocks(format, p);
  GemmRows rows(format, p, blocks, call.scratch);

  const std::byte* const src = static_cast<const std::byte*>(call.operand[kGemmSrc]);
  const std::byte* const weight = static_cast<const std::byte*>(call.operand[kGemmWeight]);
  const std::byte* const residual = static_cast<const std::byte*>(call.operand[kGemmResidual]);
  std::byte* const dst = static_cast<std::byte*>(call.operand[kGemmDst]);
  const Activation activation = Activation(p.activation);
  const bool is_clamp =
      activation == Activation::none || activation == Activation::relu || activation == Activation::clamp;
  const int64_t size = kernel.dst_bytes;

  GemmTile tile{};
  tile.taps = rows.taps();
  tile.steps = layout.steps() / rows.taps();
  tile.row_stride = rows.row_stride();
  tile.dst_row = p.dst_row;
  tile.residual_row = p.residual_row;
  tile.lo = activation == Activation::clamp ? p.alpha : activation == Activation::relu ? 0.0f : -infinity;
  tile.hi = activation == Activation::clamp ? p.beta : infinity;
  if (size == 1) {
    tile.lo = std::max(tile.lo, 0.0f);
    tile.hi = std::min(tile.hi, 255.0f);
  }
  tile.residual_scale = p.residual_scale;

  for (int64_t task = begin; task < end; ++task) {
    const int64_t m_begin = task % blocks.m_blocks * blocks.m_block;
    const int64_t m_end = std::min(m_begin + blocks.m_block, blocks.m);
    const int64_t panel_begin = task / blocks.m_blocks % blocks.panel_blocks * blocks.panel_block;
    const int64_t panel_end = std::min(panel_begin + blocks.panel_block, layout.panels());
    const int64_t b = task / (blocks.m_blocks * blocks.panel_blocks);
    const int64_t b0 = b / p.batch[1], b1 = b % p.batch[1];
    const auto at = [&](const int64_t (&stride)[2]) { return b0 * stride[0] + b1 * stride[1]; };

    rows.set(src + at(p.src_batch) * kernel.src_bytes, m_begin, m_end);
    const std::byte* const matrix = weight + at(p.weight_batch) * layout.bytes();
    for (int64_t index = panel_begin; index < panel_end; ++index) {
      const GemmPanel panel = layout.panel(index);
      const GemmVariant(&variants)[GemmKernel::kVariants] = kernel.variant[panel.granules - 1];
      tile.panel = matrix + panel.offset;
      tile.columns = std::min(panel.granules * kGranule, p.n - panel.column);
      tile.scale = offset_or_null(call.operand[kGemmScale], at(p.bias_batch) + panel.column);
      tile.bias = offset_or_null(call.operand[kGemmBias], at(p.bias_batch) + panel.column);
      for (int64_t m = m_begin; m < m_end;) {
        const GemmVariant& variant = choose_variant(variants, m_end - m);
        tile.m = std::min<int64_t>(variant.mr, m_end - m);
        tile.rows = rows.pointers() + (m - m_begin);
        tile.dst = dst + (at(p.dst_batch) + m * p.dst_row + panel.column) * size;
        if (residual) {
          tile.residual = residual + (at(p.residual_batch) + m * p.residual_row + panel.column) * kernel.src_bytes;
        }
        variant.run(tile);
        if (!is_clamp) {
          for (int64_t i = 0; i < tile.m; ++i) {
            float* const row = reinterpret_cast<float*>(tile.dst) + i * p.dst_row;
            kernel.activate(activation, p.alpha, p.beta, row, tile.columns);
          }
        }
        m += tile.m;
      }
    }
  }
}

}  // namespace rushlight
