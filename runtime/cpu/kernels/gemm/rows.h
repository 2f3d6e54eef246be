// Where the rows of a block of the left operand lie in memory.
#pragma once

#include <cstddef>

#include "kernels/gemm/driver.h"
#include "kernels/gemm/layout.h"

namespace rushlight {

class GemmRows {
 public:
  static int64_t scratch_bytes(const GemmFormat& format, const GemmParams& params, const GemmBlocks& blocks);

  // scratch: scratch_bytes long; holds what the pointers refer to besides src.
  GemmRows(const GemmFormat& format, const GemmParams& params, const GemmBlocks& blocks, std::byte* scratch);

  // Rows [begin, end), at most one block. Pointers are readable for a tile's height past the end: the last row again.
  void set(const std::byte* src, int64_t begin, int64_t end);

  // The pointer of row i of the block for tap t is pointers()[t * row_stride() + i].
  const std::byte* const* pointers() const { return pointers_; }
  int64_t row_stride() const { return row_stride_; }
  int64_t taps() const { return taps_; }

 private:
  struct Segment;  // neighbouring rows in one row of an image
  struct Sizes;

  void set_segment(const std::byte* src, const Segment& segment);
  void point_taps(const std::byte* src, const Segment& segment);
  template <class Element>
  void point_runs(const Element* src, const Segment& segment);
  bool is_dense(int64_t element_bytes) const;
  template <class Dst, class Src>
  void copy_rows(const Src* src, const Segment& segment);
  template <class Dst, class Src>
  std::byte* copy_run(const Src* image, const Segment& segment, int64_t ox, int64_t ky);

  GemmParams p_;
  GemmStep step_;
  GemmReading reading_;
  int64_t taps_, row_stride_, run_bytes_, src_bytes_;
  std::byte* pad_run_;
  const std::byte** pointers_;
  std::byte* copies_;
};

}  // namespace rushlight
