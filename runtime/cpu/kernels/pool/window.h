// How pools are cut into tasks, and which taps of a window lie within the image. Internal linkage: ISA files include
// it.
#pragma once

#include "kernels/pool/pool.h"

namespace rushlight {
namespace {

// A task is kPoolChannels channels of one output row.
constexpr int64_t kPoolChannels = 256;

inline int64_t pool_chunks(const PoolParams& p) { return (p.c + kPoolChannels - 1) / kPoolChannels; }

// Taps [first, end) of `taps` along one axis lie within `size` when the window begins at `begin`.
struct Taps {
  int64_t first, end;
};
inline Taps clip_taps(int64_t begin, int64_t taps, int64_t dilation, int64_t size) {
  const int64_t first = begin < 0 ? (-begin + dilation - 1) / dilation : 0;
  const int64_t fit = begin < size ? (size - begin + dilation - 1) / dilation : 0;
  const int64_t end = fit < taps ? fit : taps;
  return {first < end ? first : end, end};
}

struct Window {
  int64_t rows, columns;  // taps within the image
  int64_t offset;         // of the first of them, in pixels of the image
  int64_t count;
};

inline int64_t padded_extent(int64_t begin, int64_t taps, int64_t limit) {
  return (begin + taps < limit ? begin + taps : limit) - begin;
}

inline Window find_window(const PoolParams& p, int64_t oy, int64_t ox) {
  const int64_t y = oy * p.sh - p.ph, x = ox * p.sw - p.pw;
  const Taps ky = clip_taps(y, p.kh, p.dh, p.ih), kx = clip_taps(x, p.kw, p.dw, p.iw);
  const int64_t rows = ky.end - ky.first, columns = kx.end - kx.first;
  const int64_t count =
      p.count_include_pad ? padded_extent(y, p.kh, p.ih + p.pb) * padded_extent(x, p.kw, p.iw + p.pr) : rows * columns;
  return {rows, columns, (y + ky.first * p.dh) * p.iw + x + kx.first * p.dw, count};
}

}  // namespace
}  // namespace rushlight
