// Copies; for ISA files. Block transposes elements of type T in registers (transpose.h).
#pragma once

#include "kernels/kernel.h"
#include "kernels/move/rows.h"
#include "kernels/move/transpose.h"
#include "kernels/move/walk.h"

namespace rushlight {
namespace {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T, class Block>
void copy(const Call& call, int64_t begin, int64_t end) {
  const Walk w = plan_walk(*static_cast<const MoveParams*>(call.params), sizeof(T));
  const auto* src = static_cast<const T*>(call.operand[kMoveSrc]);
  auto* dst = static_cast<T*>(call.operand[kMoveDst]);
  const int64_t inner_count = inner_pieces(w), cross_count = cross_pieces(w);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t inner = task % inner_count * w.inner_step, cross = task / inner_count % cross_count * w.cross_step;
    const int64_t row = task / inner_count / cross_count * w.rows, row_end = smaller(row + w.rows, w.outer_size);
    const int64_t n = smaller(w.inner_step, w.inner.size - inner);
    Cursor cursor(w, row);
    if (w.kind == Walk::kRows && w.rank > 0) {
      const Axis& axis = w.outer[w.rank - 1];
      constexpr int64_t size = sizeof(T);
      for (int64_t r = row; r < row_end;) {
        const int64_t count = smaller(row_end - r, axis.size - cursor.index[w.rank - 1]);
        copy_rows(reinterpret_cast<const std::byte*>(src + cursor.src + inner), axis.src * size,
                  reinterpret_cast<std::byte*>(dst + cursor.dst + inner), axis.dst * size, n * size, count);
        cursor.advance(count);
        r += count;
      }
      continue;
    }
    for (int64_t r = row; r < row_end; ++r, cursor.advance(1)) {
      const T* const from = src + cursor.src + inner * w.inner.src + cross * w.cross.src;
      T* const to = dst + cursor.dst + inner * w.inner.dst + cross * w.cross.dst;
      if (w.kind == Walk::kRows)
        copy_row(from, to, n);
      else if (w.kind == Walk::kStrided)
        copy_strided(from, w.inner.src, to, w.inner.dst, n);
      else
        transpose<Block>(from, w.inner.src, to, w.cross.dst, smaller(w.cross_step, w.cross.size - cross), n);
    }
  }
}

}  // namespace
}  // namespace rushlight
