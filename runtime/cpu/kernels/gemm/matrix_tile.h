// Blocks of 32 rows and 32 columns of sums in the tile registers of AMX, for ISA files only.
//
// A panel as other kernels read it is what the instructions ask for: sixteen steps of sixteen columns are sixteen rows
// of 64 bytes. Rows of the left operand are loaded from where they lie if sixteen are equally far apart; others, such
// as those that the edge of an image parts, go through a buffer. Steps that remain of a tap, fewer than sixteen, have
// registers of their own size, so nothing is read but the rows.
//
// 32 rows by 32 columns by 64 of k take the multiplier 64 cycles and load 4 KiB: from L1 in some 40 cycles, from L2 in
// some 90. Weights of as many steps as stay in L1 therefore serve a whole group of blocks before the next steps' do,
// and the group's sums wait beside them.
#pragma once

#include "kernels/gemm/matrix_finish.h"
#include "kernels/gemm/tile_registers.h"

namespace rushlight {
namespace {

constexpr int kTileSteps = 16, kTileBytes = 64;
constexpr int64_t kDepthTiles = 12;  // their weights of 32 columns are 24 KiB

// Registers 0 to 3 hold sums, those of row tile r and column tile n in 2 r + n.
enum TileRegister { kSums, kRows = 4, kColumns, kRowsBelow, kColumnsBeside };
// Where a tap ends with fewer than sixteen steps, the last two hold these instead.
constexpr int kRestOfRows = kRowsBelow, kRestOfColumns = kColumnsBeside;

TileConfig tile_config(int64_t rest_steps) {
  TileConfig config{};
  config.palette = 1;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = kTileBytes;
    config.rows[i] = kTileRows;
  }
  if (rest_steps > 0) {
    config.row_bytes[kRestOfRows] = uint16_t(rest_steps * 4);
    config.rows[kRestOfColumns] = uint8_t(rest_steps);
  }
  return config;
}

// Sixteen rows for one tap.
class TileRows {
 public:
  RL_INLINE void set(const std::byte* const* rows, int64_t offset) {
    rows_ = rows;
    offset_ = offset;
    stride_ = rows[1] - rows[0];
    int64_t uneven = 0;
    for (int i = 1; i < kTileRows; ++i) uneven |= (rows[i] - rows[i - 1]) ^ stride_;
    is_even_ = uneven == 0;
  }

  // Loads `bytes` of every row, from byte `at`.
  template <int T>
  RL_INLINE void load(int64_t at, int bytes) {
    if (is_even_) return load_tile<T>(rows_[0] + offset_ + at, stride_);
    const __mmask64 mask = ~uint64_t(0) >> (kTileBytes - bytes);
    for (int i = 0; i < kTileRows; ++i) {
      _mm512_store_si512(buffer_ + i * kTileBytes, _mm512_maskz_loadu_epi8(mask, rows_[i] + offset_ + at));
    }
    load_tile<T>(buffer_, kTileBytes);
  }

 private:
  alignas(64) std::byte buffer_[kTileRows * kTileBytes];
  const std::byte* const* rows_;
  int64_t offset_, stride_;
  bool is_even_;
};

// Columns of a panel: weights of step s at first + s * step_bytes.
struct TileColumns {
  const std::byte* first;
  int64_t step_bytes;

  template <int T>
  RL_INLINE void load(int64_t step, int n) const {
    load_tile<T>(first + step * step_bytes + n * kTileBytes, step_bytes);
  }
};

// Sixteen steps of R x N tiles, everything loaded once.
template <int R, int N>
RL_INLINE void multiply_whole(TileRows (&rows)[R], int64_t at, const TileColumns& columns, int64_t step) {
  columns.load<kColumns>(step, 0);
  rows[0].template load<kRows>(at, kTileBytes);
  multiply_add_tiles<kSums, kRows, kColumns>();
  if constexpr (N == 2) {
    columns.load<kColumnsBeside>(step, 1);
    multiply_add_tiles<kSums + 1, kRows, kColumnsBeside>();
  }
  if constexpr (R == 2) {
    rows[1].template load<kRowsBelow>(at, kTileBytes);
    multiply_add_tiles<kSums + 2, kRowsBelow, kColumns>();
    if constexpr (N == 2) multiply_add_tiles<kSums + 3, kRowsBelow, kColumnsBeside>();
  }
}

// The same with one register for rows and one for columns, which may be of fewer steps: one tile is loaded twice.
template <int R, int N, int Rows, int Columns>
RL_INLINE void multiply_by_two(TileRows (&rows)[R], int64_t at, int bytes, const TileColumns& columns, int64_t step) {
  columns.load<Columns>(step, 0);
  rows[0].template load<Rows>(at, bytes);
  multiply_add_tiles<kSums, Rows, Columns>();
  if constexpr (N == 2) {
    columns.load<Columns>(step, 1);
    multiply_add_tiles<kSums + 1, Rows, Columns>();
  }
  if constexpr (R == 2) {
    rows[1].template load<Rows>(at, bytes);
    if constexpr (N == 2) {
      multiply_add_tiles<kSums + 3, Rows, Columns>();
      columns.load<Columns>(step, 0);
    }
    multiply_add_tiles<kSums + 2, Rows, Columns>();
  }
}

// Brings later weights into L2, so much of them with every tile of steps.
struct NextWeights {
  const std::byte* at;
  int64_t bytes;

  RL_INLINE void fetch() {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i, 0, 2);
    at += bytes;
  }
};

// Adds tiles [begin, end) of k, counted over all taps, to the sums in the registers. Rest: taps end with fewer than
// sixteen steps.
template <int R, int N, bool Rest, class Dst>
RL_INLINE void accumulate_tiles(const GemmTile& tile, const std::byte* const* rows, const TileColumns& columns,
                                int64_t begin, int64_t end, NextWeights& next, Finishing<Dst>& finishing) {
  const int64_t whole = tile.steps / kTileSteps, of_tap = whole + Rest;
  const int rest_bytes = int(tile.steps % kTileSteps) * 4;
  const int64_t finished = begin < end ? (finishing.steps() + end - begin - 1) / (end - begin) : 0;  // with every tile
  TileRows tiles[R];
  while (begin < end) {
    const int64_t tap = begin / of_tap, first = begin % of_tap;
    const int64_t last = first + end - begin < of_tap ? first + end - begin : of_tap;
    for (int r = 0; r < R; ++r) tiles[r].set(rows + tap * tile.row_stride + r * kTileRows, tile.offset);
    for (int64_t i = first; i < last; ++i) {
      const int64_t step = tap * tile.steps + i * kTileSteps, at = i * kTileBytes;
      next.fetch();
      if constexpr (!Rest) {
        multiply_whole<R, N>(tiles, at, columns, step);
      } else if (i < whole) {
        multiply_by_two<R, N, kRows, kColumns>(tiles, at, kTileBytes, columns, step);
      } else {
        multiply_by_two<R, N, kRestOfRows, kRestOfColumns>(tiles, at, rest_bytes, columns, step);
      }
      finishing.advance(finished);
    }
    begin += last - first;
  }
}

// Row tile r and column tile n from and to sums + 16 * (r * row + n); from one row for all where row is 0.
template <int R, int N>
RL_INLINE void load_sums(const int32_t* sums, int64_t row) {
  load_tile<kSums>(sums, row * 4);
  if constexpr (N == 2) load_tile<kSums + 1>(sums + kTileRows, row * 4);
  if constexpr (R == 2) load_tile<kSums + 2>(sums + kTileRows * row, row * 4);
  if constexpr (R == 2 && N == 2) load_tile<kSums + 3>(sums + kTileRows * row + kTileRows, row * 4);
}

template <int R, int N>
RL_INLINE void store_sums(int32_t* sums, int64_t row) {
  store_tile<kSums>(sums, row * 4);
  if constexpr (N == 2) store_tile<kSums + 1>(sums + kTileRows, row * 4);
  if constexpr (R == 2) store_tile<kSums + 2>(sums + kTileRows * row, row * 4);
  if constexpr (R == 2 && N == 2) store_tile<kSums + 3>(sums + kTileRows * row + kTileRows, row * 4);
}

// A group of rows, all of k, N tiles of columns from column `column` of the panel. The last rows' results are left to
// `finishing`.
template <class Dst, int R, int N, bool Rest>
void multiply_group(const GemmTile& group, int64_t column, int64_t width, Sums& sums, NextWeights& next,
                    Finishing<Dst>& finishing) {
  GemmTile part = group;
  part.columns = group.columns - column < N * kTileRows ? group.columns - column : N * kTileRows;
  part.dst += column * int64_t(sizeof(Dst));
  part.residual += part.residual ? column * int64_t(sizeof(Dst)) : 0;
  part.scale += column;
  part.bias += part.bias ? column : 0;
  const bool fits_int = results_fit_int<N>(part);

  const int32_t* const starts = reinterpret_cast<const int32_t*>(group.panel) + column;
  const TileColumns columns{group.panel + (width + column) * 4, width * 4};
  const int64_t depth = group.taps * ((group.steps + kTileSteps - 1) / kTileSteps);
  int64_t begin = 0;
  do {
    const int64_t end = depth - begin < kDepthTiles ? depth : begin + kDepthTiles;
    for (int64_t row = 0; row < group.m; row += R * kTileRows) {
      if (end == depth) {
        part.m = group.m - row < R * kTileRows ? group.m - row : R * kTileRows;
        fetch_destination<Dst, N>(part);
      }
      load_sums<R, N>(begin == 0 ? starts : sums[row], begin == 0 ? 0 : kBlockColumns);
      accumulate_tiles<R, N, Rest>(group, group.rows + row, columns, begin, end, next, finishing);
      finishing.advance(finishing.steps());
      store_sums<R, N>(sums[row], kBlockColumns);
      if (end == depth) {
        finishing.begin(part, &sums[row], fits_int);
        part.dst += R * kTileRows * part.dst_row * int64_t(sizeof(Dst));
        if (part.residual) part.residual += R * kTileRows * part.residual_row * int64_t(sizeof(Dst));
      }
    }
    begin = end;
  } while (begin < depth);
}

// Tiles of 16 R rows and of all columns of a panel.
template <class Dst, int R>
void tile_matrix(const GemmTile& whole) {
  static_assert(kWidth == kTileRows);
  alignas(64) Sums sums;
  Finishing<Dst> finishing;
  const int64_t granules = (whole.columns + kTileRows - 1) / kTileRows, passes = (granules + 1) / 2;
  const bool has_rest = whole.steps % kTileSteps != 0;
  const auto wide = has_rest ? multiply_group<Dst, R, 2, true> : multiply_group<Dst, R, 2, false>;
  const auto narrow = has_rest ? multiply_group<Dst, R, 1, true> : multiply_group<Dst, R, 1, false>;
  const int64_t tiles = ceil_div(whole.m, R * kTileRows);
  const int64_t fetches = tiles * passes * ceil_div(whole.taps * whole.steps, kTileSteps);
  NextWeights next{whole.next, fetches > 0 ? ceil_div(whole.next_bytes, fetches) : 0};
  GemmTile group = whole;
  for (int64_t row = 0; row < whole.m; row += kGroupRows) {
    group.m = whole.m - row < kGroupRows ? whole.m - row : kGroupRows;
    for (int64_t granule = 0; granule < granules; granule += 2) {
      const auto multiply = granules - granule > 1 ? wide : narrow;
      multiply(group, granule * kTileRows, granules * kTileRows, sums, next, finishing);
    }
    group.rows += kGroupRows;
    group.dst += kGroupRows * group.dst_row * int64_t(sizeof(Dst));
    if (group.residual) group.residual += kGroupRows * group.residual_row * int64_t(sizeof(Dst));
  }
  finishing.advance(finishing.steps());
}

}  // namespace
}  // namespace rushlight
