// Copies; for ISA files. Block<T> transposes kBlock<T> x kBlock<T> elements in registers.
#pragma once

#include "kernels/kernel.h"
#include "kernels/move/rows.h"
#include "kernels/move/walk.h"

namespace rushlight {
namespace {

// dst[i * dst_stride + j] = src[j * src_stride + i] with few, N, j; the compiler knows how many.
template <int N, class T>
void interleave(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t ni) {
  for (int64_t i = 0; i < ni; ++i)
    for (int j = 0; j < N; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
}

template <int N, class T>
void deinterleave(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t nj) {
  for (int64_t j = 0; j < nj; ++j)
    for (int i = 0; i < N; ++i) dst[i * dst_stride + j] = src[j * src_stride + i];
}

template <class T>
void transpose_edge(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t ni, int64_t nj) {
  if (nj == 2) return interleave<2>(src, src_stride, dst, dst_stride, ni);
  if (nj == 3) return interleave<3>(src, src_stride, dst, dst_stride, ni);
  if (nj == 4) return interleave<4>(src, src_stride, dst, dst_stride, ni);
  if (ni == 2) return deinterleave<2>(src, src_stride, dst, dst_stride, nj);
  if (ni == 3) return deinterleave<3>(src, src_stride, dst, dst_stride, nj);
  if (ni == 4) return deinterleave<4>(src, src_stride, dst, dst_stride, nj);
  for (int64_t i = 0; i < ni; ++i)
    for (int64_t j = 0; j < nj; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
}

template <class Block, class T>
void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t ni, int64_t nj) {
  constexpr int64_t n = Block::kSize;
  const int64_t whole_i = ni / n * n, whole_j = nj / n * n;
  for (int64_t i = 0; i < whole_i; i += n)
    for (int64_t j = 0; j < whole_j; j += n)
      Block::transpose(src + j * src_stride + i, src_stride, dst + i * dst_stride + j, dst_stride);
  transpose_edge(src + whole_j * src_stride, src_stride, dst + whole_j, dst_stride, whole_i, nj - whole_j);
  transpose_edge(src + whole_i, src_stride, dst + whole_i * dst_stride, dst_stride, ni - whole_i, nj);
}

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
    for (int64_t r = row; r < row_end; ++r, cursor.advance()) {
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
