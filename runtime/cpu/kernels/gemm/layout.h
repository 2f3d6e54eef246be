// The packed form of a weight matrix: columns in granules of 16, granules dealt evenly to panels of at most nr columns.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/gemm/driver.h"
#include "kernels/kernel.h"

namespace rushlight {

constexpr int64_t kGranule = 16;   // columns
constexpr int64_t kStepBytes = 4;  // of k, a column: what one multiply-add instruction takes in each lane

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

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

inline GemmFormat gemm_format(const Row& row) { return {gemm_step(row), row.nr / kGranule}; }

struct GemmPanel {
  int64_t column, granules;
  int64_t offset;  // bytes from the start of the matrix
};

class GemmLayout {
 public:
  // n columns; `runs` times `depth` of k, each run filled up to whole steps.
  GemmLayout(GemmFormat format, int64_t n, int64_t runs, int64_t depth)
      : steps_(runs * ceil_div(depth, step_depth(format.step))),
        header_(format.step == GemmStep::f32 ? 0 : int64_t(sizeof(int32_t))),
        granules_(ceil_div(n, kGranule)),
        panels_(ceil_div(granules_, widest(format.granules))),
        least_(panels_ > 0 ? granules_ / panels_ : 0),
        wide_(granules_ - panels_ * least_) {}

  // So many granules that two panels fit into L2, at least half of what the tiles can take.
  int64_t widest(int64_t granules) const {
    constexpr int64_t most_bytes = 768 << 10;
    return granules * kGranule * column_bytes() > most_bytes ? ceil_div(granules, 2) : granules;
  }

  int64_t steps() const { return steps_; }
  int64_t panels() const { return panels_; }
  int64_t column_bytes() const { return steps_ * kStepBytes + header_; }
  int64_t header_bytes() const { return header_; }
  int64_t bytes() const { return granules_ * kGranule * column_bytes(); }

  GemmPanel panel(int64_t index) const {
    const int64_t first = index * least_ + (index < wide_ ? index : wide_);
    return {first * kGranule, least_ + (index < wide_), first * kGranule * column_bytes()};
  }

 private:
  int64_t steps_, header_, granules_, panels_;
  int64_t least_, wide_;  // granules of a panel; how many panels have one more
};

// Rows of a block that take panels chunk by chunk. Of more of them, keeping the sums in between costs more than reading
// weights from L2.
constexpr int64_t kChunkedRows = 64;

// How many steps a chunk has, of a panel of so many, that it stays in L1 while all rows take it.
inline int64_t gemm_chunk(int64_t steps, int64_t step_bytes) {
  constexpr int64_t bytes = 24 << 10;
  if (steps * step_bytes <= bytes) return steps;
  return ceil_div(steps, ceil_div(steps * step_bytes, bytes));
}

// The sums of whole tiles in between; no tile is higher than sixteen rows.
inline int64_t gemm_partial_bytes(const GemmFormat& format, const GemmBlocks& blocks) {
  return std::min(blocks.m_block, kChunkedRows + 16) * format.granules * kGranule * kStepBytes;
}

// A run is what one kernel row covers.
inline GemmLayout gemm_layout(GemmFormat format, const GemmParams& p) { return {format, p.n, p.kh, p.kw * p.k}; }

}  // namespace rushlight
