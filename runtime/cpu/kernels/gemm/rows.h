// Where the rows of a block of the left operand lie in memory, tap by tap.
#pragma once

#include <cstddef>

#include "kernels/gemm/driver.h"
#include "kernels/gemm/layout.h"

namespace rushlight {

constexpr int64_t kExtraRows = 16;  // pointers past the end of a block: no tile is higher

inline int64_t pad_row_bytes(const GemmParams& p) { return ceil_div(p.k * int64_t(sizeof(float)), 64) * 64; }
inline int64_t pointer_bytes(int64_t taps, int64_t row_stride) {
  return ceil_div(taps * row_stride * int64_t(sizeof(void*)), 64) * 64;
}

class GemmRows {
 public:
  // scratch: gemm_scratch_bytes long; holds what the pointers refer to besides src.
  GemmRows(const GemmFormat& format, const GemmParams& params, const GemmBlocks& blocks, std::byte* scratch);

  // Rows [begin, end), at most one block. Pointers are readable for a tile's height past the end: the last row again.
  void set(const std::byte* src, int64_t begin, int64_t end);

  const std::byte* const* pointers() const { return pointers_; }
  int64_t row_stride() const { return row_stride_; }
  int64_t taps() const { return taps_; }

 private:
  struct Segment;  // neighbouring rows in one row of an image
  template <class Visit>
  void visit_segments(int64_t begin, int64_t end, Visit visit) const;
  void point(const std::byte* src, const Segment& segment);
  template <class Dst, class Src>
  void gather(const Src* src, const Segment& segment);

  GemmParams p_;
  GemmStep step_;
  bool gathers_;
  int64_t taps_, row_stride_, gathered_bytes_, src_bytes_;
  std::byte* pad_row_;
  const std::byte** pointers_;
  std::byte* gathered_;
};

}  // namespace rushlight
