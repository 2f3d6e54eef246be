#include "kernels/winograd/driver.h"

#include <algorithm>
#include <limits>

#include "kernels/winograd/layout.h"

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
        format_{kernel.nr, kernel.src_bytes == 1 ? 2 : 1},
        panels_(format_, p_),
        blocks_(winograd_blocks(format_, p_)),
        points_(winograd_points(p_)),
        parts_(winograd_parts(format_, p_)),
        src_(static_cast<const std::byte*>(call.operand[kWinogradSrc])),
        weight_(static_cast<const std::byte*>(call.operand[kWinogradWeight])),
        bias_(static_cast<const float*>(call.operand[kWinogradBias])),
        scale_(static_cast<const float*>(call.operand[kWinogradScale])),
        residual_(static_cast<const std::byte*>(call.operand[kWinogradResidual])),
        dst_(static_cast<std::byte*>(call.operand[kWinogradDst])),
        patches_(call.scratch),
        products_(patches_ + points_ * blocks_.patch_point),
        sums_(products_ + points_ * blocks_.product_point),
        activation_(Activation(p_.activation)) {
    patch_.row = p_.src_row;
    patch_.pixel = p_.src_pixel;
    patch_.channels = p_.c;
    patch_.zero_point = p_.src_zero_point;
    patch_.point = blocks_.patch_point;
    result_.point = blocks_.product_point;
    result_.dst_row = p_.ow * p_.dst_row;
    result_.dst_pixel = p_.dst_row;
    result_.residual_row = p_.ow * p_.residual_row;
    result_.residual_pixel = p_.residual_row;
    result_.lo = activation_ == Activation::clamp ? p_.alpha : activation_ == Activation::relu ? 0.0f : -infinity;
    result_.hi = activation_ == Activation::clamp ? p_.beta : infinity;
    if (kernel.dst_bytes == 1) {
      result_.lo = std::max(result_.lo, 0.0f);
      result_.hi = std::min(result_.hi, 255.0f);
    }
    result_.residual_scale = p_.residual_scale;
    product_.patch_row = blocks_.patch_row;
    product_.patch_point = blocks_.patch_point;
    product_.products = products_;
    product_.product_point = blocks_.product_point;
    product_.points = points_;
  }

  void run_task(int64_t task) {
    const int64_t block = task / blocks_.panel_blocks;
    if (block != block_) {
      block_ = block;
      group_ = block / blocks_.blocks;
      begin_ = block % blocks_.blocks * blocks_.block;
      end_ = std::min(begin_ + blocks_.block, blocks_.tiles);
      for (int64_t tile = begin_; tile < end_; ++tile) transform_patch(tile);
    }
    const int64_t begin = task % blocks_.panel_blocks * blocks_.panel_block;
    const int64_t end = std::min(begin + blocks_.panel_block, panels_.count());
    for (int64_t index = begin; index < end; ++index) {
      const WinogradPanel panel = panels_.panel(index);
      const std::byte* const weights = weight_ + group_ * winograd_weight_bytes(format_, p_) + panel.offset;
      result_.correction = format_.is_integer() ? reinterpret_cast<const int32_t*>(weights) : nullptr;
      run_parts(panel, weights + (format_.is_integer() ? step_bytes(panel) : 0));
    }
  }

 private:
  int variant_of_size() const { return p_.tile == 4; }
  static int64_t step_bytes(const WinogradPanel& panel) {
    return panel.granules * kWinogradGranule * kWinogradStepBytes;
  }

  void run_parts(const WinogradPanel& panel, const std::byte* weights) {
    const int64_t steps = winograd_steps(format_, p_), part_steps = winograd_part_steps(format_, p_);
    product_.tiles = end_ - begin_;
    product_.weight_point = steps * step_bytes(panel);
    result_.sum_row = panel.granules * kWinogradGranule;
    for (int64_t part = 0; part < parts_; ++part) {
      const int64_t first = part * part_steps;
      product_.steps = std::min(part_steps, steps - first);
      product_.patches = patches_ + first * kWinogradStepBytes;
      product_.weights = weights + first * step_bytes(panel);
      kernel_.multiply[panel.granules - 1](product_);
      for (int64_t tile = begin_; tile < end_; ++tile) {
        result_.products = products_ + (tile - begin_) * step_bytes(panel);
        result_.columns = std::min(panel.granules * kWinogradGranule, p_.n - panel.column);
        result_.sums =
            blocks_.sum_tile ? reinterpret_cast<int32_t*>(sums_ + (tile - begin_) * blocks_.sum_tile) : nullptr;
        if (part + 1 == parts_)
          transform_result(panel, tile);
        else
          kernel_.add_sums[variant_of_size()](result_, part == 0);
      }
    }
  }

  Place place(int64_t tile) const {
    const int64_t row = tile / blocks_.tile_columns;
    return {row / blocks_.tile_rows, row % blocks_.tile_rows * p_.tile, tile % blocks_.tile_columns * p_.tile};
  }

  void transform_patch(int64_t tile) {
    const Place at = place(tile);
    const int64_t y = at.y - p_.ph, x = at.x - p_.pw, side = p_.tile + 2;
    patch_.image = src_ + (at.image * p_.src_image + group_ * p_.c) * kernel_.src_bytes;
    patch_.at = y * p_.src_row + x * p_.src_pixel;
    patch_.y_begin = std::clamp<int64_t>(-y, 0, side);
    patch_.y_end = std::clamp<int64_t>(p_.ih - y, 0, side);
    patch_.x_begin = std::clamp<int64_t>(-x, 0, side);
    patch_.x_end = std::clamp<int64_t>(p_.iw - x, 0, side);
    patch_.is_whole = y >= 0 && x >= 0 && y + side <= p_.ih && x + side <= p_.iw;
    patch_.dst = patches_ + (tile - begin_) * blocks_.patch_row;
    kernel_.transform_patch[variant_of_size()](patch_);
  }

  void transform_result(const WinogradPanel& panel, int64_t tile) {
    const Place at = place(tile);
    const int64_t pixel = (at.image * p_.oh + at.y) * p_.ow + at.x, column = group_ * p_.n + panel.column;
    result_.bias = bias_ ? bias_ + column : nullptr;
    result_.scale = scale_ ? scale_ + column : nullptr;
    const int64_t residual = (pixel * p_.residual_row + column) * kernel_.dst_bytes;
    result_.residual = residual_ ? residual_ + residual : nullptr;
    result_.dst = dst_ + (pixel * p_.dst_row + column) * kernel_.dst_bytes;
    result_.rows = int(std::min(p_.tile, p_.oh - at.y));
    result_.cols = int(std::min(p_.tile, p_.ow - at.x));
    kernel_.transform_result[variant_of_size()](result_);
    if (activation_ == Activation::none || activation_ == Activation::relu || activation_ == Activation::clamp) return;
    for (int y = 0; y < result_.rows; ++y) {
      for (int x = 0; x < result_.cols; ++x) {
        float* const columns = static_cast<float*>(result_.dst) + y * result_.dst_row + x * result_.dst_pixel;
        kernel_.activate(activation_, p_.alpha, p_.beta, columns, result_.columns);
      }
    }
  }

  const WinogradKernel& kernel_;
  const WinogradParams& p_;
  const WinogradFormat format_;
  const WinogradPanels panels_;
  const WinogradBlocks blocks_;
  const int64_t points_, parts_;
  const std::byte* const src_;
  const std::byte* const weight_;
  const float* const bias_;
  const float* const scale_;
  const std::byte* const residual_;
  std::byte* const dst_;
  std::byte* const patches_;
  std::byte* const products_;
  std::byte* const sums_;
  const Activation activation_;
  WinogradPatch patch_{};
  WinogradResult result_{};
  WinogradProduct product_{};
  int64_t block_ = -1, group_ = 0, begin_ = 0, end_ = 0;  // the block whose patches are transformed
};

}  // namespace

void run_winograd(const WinogradKernel& kernel, const Call& call, int64_t begin, int64_t end) {
  WinogradRun run(kernel, call);
  for (int64_t task = begin; task < end; ++task) run.run_task(task);
}

}  // namespace rushlight
