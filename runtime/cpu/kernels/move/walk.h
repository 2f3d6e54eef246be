// A copy in its simplest form: dimensions of size one dropped, mergeable ones merged. Internal linkage: ISA files
// include it.
#pragma once

#include "kernels/move/move.h"

namespace rushlight {
namespace {

struct Axis {
  int64_t size, src, dst;  // strides in elements
};

// The axes, outermost first, and how the last ones are copied.
struct Walk {
  enum Kind { kRows, kTranspose, kStrided };
  Kind kind;
  int rank;  // of outer axes
  Axis outer[kMoveRank];
  // kRows, kStrided: `inner` is the row. kTranspose: dst is dense along `inner`, src along `cross`.
  Axis inner, cross;
  // Tasks: `rows` rows of the outer axes at a time, cut into pieces of inner (and cross) elements.
  int64_t outer_size, rows, inner_step, cross_step;
};

constexpr int64_t kTaskBytes = 32 << 10;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline bool follows(const Axis& outer, const Axis& inner) {
  return outer.src == inner.src * inner.size && outer.dst == inner.dst * inner.size;
}

inline void remove_axis(Axis* axes, int& rank, int at) {
  for (--rank; at < rank; ++at) axes[at] = axes[at + 1];
}

inline Walk plan_walk(const MoveParams& p, int64_t element_bytes) {
  Walk w;
  w.rank = 0;
  w.outer_size = 1;
  for (int64_t d = 0; d < p.rank; ++d) {
    const Axis axis{p.dims[d], p.src_stride[d], p.dst_stride[d]};
    if (axis.size == 0) w.outer_size = 0;
    if (axis.size == 1) continue;
    // Sorted by descending stride of dst, so that it is written in order.
    int at = w.rank++;
    for (; at > 0 && w.outer[at - 1].dst < axis.dst; --at) w.outer[at] = w.outer[at - 1];
    w.outer[at] = axis;
  }
  for (int d = w.rank - 1; d > 0; --d)
    if (follows(w.outer[d - 1], w.outer[d])) {
      w.outer[d - 1] = {w.outer[d - 1].size * w.outer[d].size, w.outer[d].src, w.outer[d].dst};
      remove_axis(w.outer, w.rank, d);
    }
  w.inner = w.rank > 0 ? w.outer[--w.rank] : Axis{1, 1, 1};
  w.cross = {1, 0, 0};
  w.kind = w.inner.src == 1 && w.inner.dst == 1 ? Walk::kRows : Walk::kStrided;
  if (w.kind == Walk::kStrided && w.inner.dst == 1 && w.inner.src != 0)
    for (int d = 0; d < w.rank; ++d)
      if (w.outer[d].src == 1) {
        w.kind = Walk::kTranspose;
        w.cross = w.outer[d];
        remove_axis(w.outer, w.rank, d);
        break;
      }
  for (int d = 0; d < w.rank; ++d) w.outer_size *= w.outer[d].size;
  const int64_t row_bytes = w.inner.size * element_bytes;
  w.rows = 1;
  if (w.kind == Walk::kTranspose) {
    w.cross_step = 64;
    w.inner_step = 1024 / element_bytes;
  } else {
    w.cross_step = 1;
    w.inner_step = kTaskBytes / element_bytes;
    if (row_bytes > 0 && row_bytes < kTaskBytes) w.rows = kTaskBytes / row_bytes;
  }
  return w;
}

inline int64_t inner_pieces(const Walk& w) { return ceil_div(w.inner.size, w.inner_step); }
inline int64_t cross_pieces(const Walk& w) { return ceil_div(w.cross.size, w.cross_step); }
inline int64_t walk_tasks(const Walk& w) { return ceil_div(w.outer_size, w.rows) * inner_pieces(w) * cross_pieces(w); }

// Walks the rows of the outer axes in order.
struct Cursor {
  const Walk& walk;
  int64_t src = 0, dst = 0;
  int64_t index[kMoveRank];

  Cursor(const Walk& w, int64_t row) : walk(w) {
    for (int d = w.rank - 1; d >= 0; --d) {
      index[d] = row % w.outer[d].size;
      row /= w.outer[d].size;
      src += index[d] * w.outer[d].src;
      dst += index[d] * w.outer[d].dst;
    }
  }

  // By rows that do not pass the end of the last axis.
  void advance(int64_t rows) {
    for (int d = walk.rank - 1; d >= 0; --d, rows = 1) {
      const Axis& axis = walk.outer[d];
      src += axis.src * rows;
      dst += axis.dst * rows;
      if ((index[d] += rows) < axis.size) return;
      src -= axis.src * axis.size;
      dst -= axis.dst * axis.size;
      index[d] = 0;
    }
  }
};

}  // namespace
}  // namespace rushlight
