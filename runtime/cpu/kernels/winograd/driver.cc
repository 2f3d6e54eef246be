#include "kernels/winograd/driver.h"

#include <algorithm>
#include <limits>

#include "kernels/gemm/layout.h"

namespace rushlight {

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// Where a tile lies: its image, and the row and column of its first result.
struct Place {
  int64_t image, y, x;
};

// What a call's tasks have in common.
class WinogradRun {
 public:
  WinogradRun(const WinogradKernel& kernel, const Call& call)
      : kernel_(kernel),
        p_(*static_cast<const WinogradParams*>(call.params)),
        format_{kernel.product.step, kernel.product.granules},
        layout_(format_, p_.n, 1, p_.c),
        blocks_(winograd_blocks(format_, p_)),
        points_(winograd_points(p_)),
        src_(static_cast<const float*>(call.operand[kWinogradSrc])),
        weight_(static_cast<const std::byte*>(call.operand[kWinogradWeight])),
        bias_(static_cast<const float*>(call.operand[kWinogradBias])),
        residual_(static_cast<const float*>(call.operand[kWinogradResidual])),
        dst_(static_cast<float*>(call.operand[kWinogradDst])),
        patches_(reinterpret_cast<float*>(call.scratch)),
        products_(patches_ + points_ * blocks_.patch_point),
        pointers_(reinterpret_cast<const std::byte**>(products_ + points_ * blocks_.product_point)),
        activation_(Activation(p_.activation)) {
    patch_.row = p_.src_row;
    patch_.pixel = p_.src_pixel;
    patch_.channels = p_.c;
    patch_.point = blocks_.patch_point;
    result_.point = blocks_.product_point;
    result_.dst_row = p_.ow * p_.dst_row;
    result_.dst_pixel = p_.dst_row;
    result_.residual_row = p_.ow * p_.residual_row;
    result_.residual_pixel = p_.residual_row;
    result_.lo = activation_ == Activation::clamp ? p_.alpha : activation_ == Activation::relu ? 0.0f : -infinity;
    result_.hi = activation_ == Activation::clamp ? p_.beta : infinity;
    product_.taps = 1;
    product_.steps = p_.c;
    product_.dst_row = blocks_.product_row;
    product_.lo = -infinity;
    product_.hi = infinity;
  }

  void run_task(int64_t task) {
    const int64_t block = task / blocks_.panel_blocks;
    if (block != block_) {
      block_ = block;
      begin_ = block * blocks_.block;
      end_ = std::min(begin_ + blocks_.block, blocks_.tiles);
      for (int64_t tile = begin_; tile < end_; ++tile) transform_patch(tile);
    }
    const int64_t begin = task % blocks_.panel_blocks * blocks_.panel_block;
    const int64_t end = std::min(begin + blocks_.panel_block, layout_.panels());
    for (int64_t index = begin; index < end; ++index) {
      const GemmPanel panel = layout_.panel(index);
      multiply(panel);
      for (int64_t tile = begin_; tile < end_; ++tile) transform_result(panel, tile);
    }
  }

 private:
  int variant_of_size() const { return p_.tile == 4; }

  Place place(int64_t tile) const {
    const int64_t row = tile / blocks_.tile_columns;
    return {row / blocks_.tile_rows, row % blocks_.tile_rows * p_.tile, tile % blocks_.tile_columns * p_.tile};
  }

  void transform_patch(int64_t tile) {
    const Place at = place(tile);
    const int64_t y = at.y - p_.ph, x = at.x - p_.pw, side = p_.tile + 2;
    patch_.image = src_ + at.image * p_.src_image;
    patch_.at = y * p_.src_row + x * p_.src_pixel;
    patch_.y_begin = int(std::clamp<int64_t>(-y, 0, side));
    patch_.y_end = int(std::clamp<int64_t>(p_.ih - y, 0, side));
    patch_.x_begin = int(std::clamp<int64_t>(-x, 0, side));
    patch_.x_end = int(std::clamp<int64_t>(p_.iw - x, 0, side));
    patch_.dst = patches_ + (tile - begin_) * blocks_.patch_row;
    kernel_.transform_patch[variant_of_size()](patch_);
  }

  // The products of all points of the block's tiles with one panel.
  void multiply(const GemmPanel& panel) {
    const GemmVariant(&variants)[GemmKernel::kVariants] = kernel_.product.variant[panel.granules - 1];
    const int64_t tiles = end_ - begin_, bytes = panel.granules * kGranule * layout_.column_bytes();
    const std::byte* const last = weight_ + points_ * layout_.bytes() - bytes;
    product_.columns = panel.granules * kGranule;
    product_.panel = weight_ + points_ * panel.offset;
    for (int64_t point = 0; point < points_; ++point, product_.panel += bytes) {
      const float* const rows = patches_ + point * blocks_.patch_point;
      float* const dst = products_ + point * blocks_.product_point;
      for (int64_t i = 0; i < tiles + GemmKernel::kMostRows; ++i) {
        pointers_[i] = reinterpret_cast<const std::byte*>(rows + std::min(i, tiles - 1) * blocks_.patch_row);
      }
      product_.next = product_.panel < last ? product_.panel + bytes : product_.panel;
      product_.next_step = ceil_div(product_.columns * kStepBytes, ceil_div(tiles, highest_variant(variants)));
      for (int64_t i = 0; i < tiles; i += product_.m) {
        const GemmVariant& variant = lowest_variant(variants, tiles - i);
        product_.m = std::min<int64_t>(variant.mr, tiles - i);
        product_.rows = pointers_ + i;
        product_.dst = reinterpret_cast<std::byte*>(dst + i * blocks_.product_row);
        variant.run(product_);
        product_.next += product_.next_step * layout_.steps();
      }
    }
  }

  void transform_result(const GemmPanel& panel, int64_t tile) {
    const Place at = place(tile);
    const int64_t pixel = (at.image * p_.oh + at.y) * p_.ow + at.x;
    result_.products = products_ + (tile - begin_) * blocks_.product_row;
    result_.columns = std::min(panel.granules * kGranule, p_.n - panel.column);
    result_.bias = bias_ ? bias_ + panel.column : nullptr;
    result_.residual = residual_ ? residual_ + pixel * p_.residual_row + panel.column : nullptr;
    result_.dst = dst_ + pixel * p_.dst_row + panel.column;
    result_.rows = int(std::min(p_.tile, p_.oh - at.y));
    result_.cols = int(std::min(p_.tile, p_.ow - at.x));
    kernel_.transform_result[variant_of_size()](result_);
    if (activation_ == Activation::none || activation_ == Activation::relu || activation_ == Activation::clamp) return;
    for (int y = 0; y < result_.rows; ++y) {
      for (int x = 0; x < result_.cols; ++x) {
        float* const columns = result_.dst + y * result_.dst_row + x * result_.dst_pixel;
        kernel_.product.activate(activation_, p_.alpha, p_.beta, columns, result_.columns);
      }
    }
  }

  const WinogradKernel& kernel_;
  const WinogradParams& p_;
  const GemmFormat format_;
  const GemmLayout layout_;
  const WinogradBlocks blocks_;
  const int64_t points_;
  const float* const src_;
  const std::byte* const weight_;
  const float* const bias_;
  const float* const residual_;
  float* const dst_;
  float* const patches_;
  float* const products_;
  const std::byte** const pointers_;
  const Activation activation_;
  WinogradPatch patch_{};
  WinogradResult result_{};
  GemmTile product_{};
  int64_t block_ = -1, begin_ = 0, end_ = 0;  // the block whose patches are transformed
};

}  // namespace

void run_winograd(const WinogradKernel& kernel, const Call& call, int64_t begin, int64_t end) {
  WinogradRun run(kernel, call);
  for (int64_t task = begin; task < end; ++task) run.run_task(task);
}

}  // namespace rushlight
