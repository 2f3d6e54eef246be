// How a depthwise call is cut into tasks, and where the taps of a run of output pixels lie. All of it has internal
// linkage: ISA files include it.
#pragma once

#include "kernels/depthwise/depthwise.h"

namespace rushlight {
namespace {

// Output pixels that are computed together, at most.
constexpr int kRun = 7;

// A task is a chunk of channels, at most `chunk`, of a band of output rows of one image. Chunks are whole tiles, as
// even as that allows.
struct Split {
  int64_t tile, tiles, chunk, chunks, bands;
};
constexpr int64_t kBand = 8;

// Bytes of input rows under the filter that a task should have: they stay in the first-level cache from one output row
// to the next, or in the second-level cache where the image comes from beyond it and is best read in long runs.
constexpr int64_t kNearRows = 24 << 10, kFarRows = 256 << 10, kFarImage = 1 << 20;
constexpr int64_t kMinChunk = 128;  // channels that pay for setting up a run of pixels

// `tile` channels is the unit of packed weights; a chunk starts at a multiple of it.
inline Split split_tasks(const DepthwiseParams& p, int64_t tile, int64_t element_bytes) {
  const bool is_far = p.ih * p.iw * p.src_pixel * element_bytes > kFarImage;
  const int64_t chunk = (is_far ? kFarRows : kNearRows) / (p.kh * (p.iw + p.kw) * element_bytes);
  const int64_t most = (chunk > kMinChunk ? chunk : kMinChunk) / tile, tiles = (p.c + tile - 1) / tile;
  const int64_t chunks = (tiles + most - 1) / most;
  return {tile, tiles, chunks ? (tiles + chunks - 1) / chunks * tile : 0, chunks, (p.oh + kBand - 1) / kBand};
}

struct Task {
  int64_t image, row, row_end, channel, channels;
};

inline Task find_task(const DepthwiseParams& p, const Split& s, int64_t index) {
  const int64_t chunk = index % s.chunks, band = index / s.chunks % s.bands;
  const int64_t channel = chunk * s.tiles / s.chunks * s.tile, end = (chunk + 1) * s.tiles / s.chunks * s.tile;
  const int64_t row = band * kBand, row_end = row + kBand < p.oh ? row + kBand : p.oh;
  return {index / s.chunks / s.bands, row, row_end, channel, (p.c < end ? p.c : end) - channel};
}

// Sets table[ky * pitch + j] to the pixel of input row oy * sh - ph + ky * dh and column x + j * step, or to `outside`.
template <class T>
inline void point_taps(const DepthwiseParams& p, const T* image, int64_t oy, int64_t x, int64_t columns, int64_t step,
                       const T* outside, const T** table, int64_t pitch) {
  for (int64_t ky = 0; ky < p.kh; ++ky) {
    const int64_t y = oy * p.sh - p.ph + ky * p.dh;
    const bool inside = y >= 0 && y < p.ih;
    const T* const row = image + (inside ? y : 0) * p.iw * p.src_pixel;
    if (!inside || (x >= 0 && x + (columns - 1) * step < p.iw)) {
      const T* const first = inside ? row + x * p.src_pixel : outside;
      const int64_t pitch_x = inside ? step * p.src_pixel : 0;
      for (int64_t j = 0; j < columns; ++j) table[ky * pitch + j] = first + j * pitch_x;
      continue;
    }
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t column = x + j * step;
      table[ky * pitch + j] = column >= 0 && column < p.iw ? row + column * p.src_pixel : outside;
    }
  }
}

// Pointers that a table of taps has room for.
inline int64_t table_size(const DepthwiseParams& p) { return p.kh * (p.kw + kRun) * kRun; }

// The taps of runs of output pixels of one task. Filters of KH rows of KW neighbouring columns, S apart from pixel to
// pixel, have a column of the image once for all pixels of a run, others (KH = 0) a tap of every pixel. Runs of Wide
// pixels that read nothing outside of the image share a table: their taps lie at one distance from those of the first.
template <class T, int KH, int KW, int S, int Wide>
class RunTaps {
 public:
  // `tables` has room for two.
  RunTaps(const DepthwiseParams& p, const T* image, const T* outside, const T** tables)
      : p_(p), image_(image), outside_(outside), inside_(tables), edge_(tables + table_size(p)) {}

  struct Found {
    const T** table;
    int64_t shift;  // elements, to be added to every pointer
  };
  // Of P pixels from ox on in output row oy.
  template <int P>
  Found find(int64_t oy, int64_t ox) {
    const int64_t x = ox * p_.sw - p_.pw;
    if constexpr (KH == 0) {
      for (int64_t kx = 0; kx < p_.kw; ++kx)
        point_taps(p_, image_, oy, x + kx * p_.dw, P, p_.sw, outside_, edge_ + kx * P, p_.kw * P);
    } else {
      constexpr int columns = (P - 1) * S + KW;
      const int64_t y = oy * p_.sh - p_.ph;
      if (P == Wide && y >= 0 && x >= 0 && y + (KH - 1) * p_.dh < p_.ih && x + columns <= p_.iw) {
        const int64_t at = (y * p_.iw + x) * p_.src_pixel;
        if (first_ < 0) {
          first_ = at;
          point_taps(p_, image_, oy, x, columns, 1, outside_, inside_, columns);
        }
        return {inside_, at - first_};
      }
      point_taps(p_, image_, oy, x, columns, 1, outside_, edge_, columns);
    }
    return {edge_, 0};
  }

 private:
  const DepthwiseParams& p_;
  const T *image_, *outside_;
  const T **inside_, **edge_;
  int64_t first_ = -1;  // where the first tap of the shared table is in the image
};

}  // namespace
}  // namespace rushlight
