// The packed form of a weight matrix: columns in granules of 16, granules dealt evenly to panels of at most nr columns.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/gemm/choice.h"
#include "kernels/gemm/driver.h"
#include "kernels/kernel.h"

namespace rushlight {

inline int64_t step_depth(GemmStep step) { return step == GemmStep::f32 ? 1 : step == GemmStep::s16x2 ? 2 : 4; }

inline GemmStep gemm_step(const Row& row) {
  if (row.types[0] == 'f') return GemmStep::f32;
  switch (row.isa) {
    case Isa::generic:
    case Isa::avxvnni:
    case Isa::avx512vnni: return GemmStep::u8x4;
    case Isa::amxint8: return GemmStep::u8x64;
    case Isa::neondot: return GemmStep::s8x4;
    case Isa::avx2:
    case Isa::avx512:
    case Isa::neon: return GemmStep::s16x2;
  }
  __builtin_unreachable();
}

struct GemmPanel {
  int64_t column, granules;
  int64_t offset;  // bytes from the start of the matrix
};

class GemmLayout {
 public:
  // n columns; `runs` times `depth` of k, each run filled up to whole steps. Panels of at most
  // `widest` granules, or as gemm_panel_granules chooses.
  GemmLayout(GemmFormat format, int64_t n, int64_t runs, int64_t depth, int64_t widest = 0)
      : steps_(runs * ceil_div(depth, step_depth(format.step))),
        step_bytes_(format.step_bytes),
        header_(format.step == GemmStep::f32 ? 0 : int64_t(sizeof(int32_t))),
        granules_(ceil_div(n, kGranule)),
        panels_(ceil_div(granules_, gemm_panel_granules(format.step, format.granules, granules_, steps_, widest))),
        least_(panels_ > 0 ? granules_ / panels_ : 0),
        wide_(granules_ - panels_ * least_) {}

  int64_t steps() const { return steps_; }
  int64_t panels() const { return panels_; }
  int64_t step_bytes() const { return step_bytes_; }
  int64_t column_bytes() const { return steps_ * step_bytes_ + header_; }
  int64_t header_bytes() const { return header_; }
  int64_t bytes() const { return granules_ * kGranule * column_bytes(); }

  GemmPanel panel(int64_t index) const {
    const int64_t first = index * least_ + (index < wide_ ? index : wide_);
    return {first * kGranule, least_ + (index < wide_), first * kGranule * column_bytes()};
  }

 private:
  int64_t steps_, step_bytes_, header_, granules_, panels_;
  int64_t least_, wide_;  // granules of a panel; how many panels have one more
};

// Rows of a block that take panels chunk by chunk. Of more of them, keeping the sums in between costs more than reading
// weights from L2.
constexpr int64_t kChunkedRows = 64;

// Tile registers take chunks of their own.
inline bool gemm_is_chunked(const GemmFormat& format, int64_t taps, int64_t rows) {
  return taps == 1 && rows <= kChunkedRows && format.step != GemmStep::u8x64;
}

// How many steps a chunk has, of a panel of so many, that it stays in L1 while all rows take it.
inline int64_t gemm_chunk(int64_t steps, int64_t step_bytes) {
  constexpr int64_t bytes = 24 << 10;
  if (steps * step_bytes <= bytes) return steps;
  return ceil_div(steps, ceil_div(steps * step_bytes, bytes));
}

// The sums of whole tiles in between; no tile that takes chunks is higher than sixteen rows.
inline int64_t gemm_partial_bytes(const GemmFormat& format, const GemmBlocks& blocks) {
  return std::min(ceil_div(blocks.m_run, 16) * 16, kChunkedRows + 16) * format.granules * kGranule * kStepBytes;
}

// A run is what one kernel row covers.
inline GemmLayout gemm_layout(GemmFormat format, const GemmParams& p) {
  return {format, p.n, p.kh, p.kw * p.k, p.panel_columns / kGranule};
}

}  // namespace rushlight
