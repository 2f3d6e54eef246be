// Pads; internal linkage.
#pragma once

#include "kernels/kernel.h"
#include "kernels/move/move.h"
#include "kernels/move/rows.h"

namespace rushlight {
namespace {

enum class PadMode { constant, edge, reflect };

// Elements of dst that a task writes, about.
constexpr int64_t kPadTask = 8 << 10;

struct PadRows {
  int64_t rows, length, rows_per_task;  // a row is the last dimension
};

inline PadRows split_pad(const MoveParams& p) {
  PadRows s{1, p.rank ? p.dims[p.rank - 1] : 1, 1};
  for (int64_t d = 0; d + 1 < p.rank; ++d) s.rows *= p.dims[d];
  if (s.length == 0)
    s.rows = 0;
  else if (s.length < kPadTask)
    s.rows_per_task = kPadTask / s.length;
  return s;
}

// Where index i of dimension d lies in src, -1 for the constant.
template <PadMode Mode>
inline int64_t source_of(const MoveParams& p, int64_t d, int64_t i) {
  const int64_t last = p.src_dims[d] - 1;
  int64_t m = i - p.begin[d];
  if (m >= 0 && m <= last) return m;
  if (Mode == PadMode::constant) return -1;
  if (Mode == PadMode::reflect) m = m < 0 ? -m : 2 * last - m;
  return m < 0 ? 0 : m > last ? last : m;
}

// src is null where the whole row is constant.
template <class T, PadMode Mode>
void pad_row(const MoveParams& p, const T* src, T* dst) {
  const int64_t d = p.rank - 1;
  if (d < 0) {
    *dst = *src;
    return;
  }
  const T value = T(p.value);
  const int64_t size = p.dims[d], src_stride = p.src_stride[d], dst_stride = p.dst_stride[d];
  const int64_t inside = src ? p.begin[d] : size, inside_end = src ? p.begin[d] + p.src_dims[d] : size;
  const auto fill = [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) {
      const int64_t m = src ? source_of<Mode>(p, d, i) : -1;
      dst[i * dst_stride] = m < 0 ? value : src[m * src_stride];
    }
  };
  fill(0, inside);
  copy_strided(src, src_stride, dst + inside * dst_stride, dst_stride, inside_end - inside);
  fill(inside_end, size);
}

template <class T, PadMode Mode>
void pad(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const MoveParams*>(call.params);
  const PadRows split = split_pad(p);
  for (int64_t r = begin * split.rows_per_task; r < end * split.rows_per_task && r < split.rows; ++r) {
    const T* src = static_cast<const T*>(call.operand[kMoveSrc]);
    T* dst = static_cast<T*>(call.operand[kMoveDst]);
    bool is_outside = false;
    int64_t left = r;
    for (int64_t d = p.rank - 2; d >= 0; --d) {
      const int64_t i = left % p.dims[d], m = source_of<Mode>(p, d, i);
      left /= p.dims[d];
      is_outside |= m < 0;
      src += (m < 0 ? 0 : m) * p.src_stride[d];
      dst += i * p.dst_stride[d];
    }
    pad_row<T, Mode>(p, is_outside ? nullptr : src, dst);
  }
}

}  // namespace
}  // namespace rushlight
