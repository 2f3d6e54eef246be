// Walks the rows of a dense result whose operands may be broadcast; for ISA files and for task counts alike.
#pragma once

#include <cstdint>

namespace rushlight {
namespace {

constexpr int kMaxRank = 6;
constexpr int64_t kElementwiseBlock = 4096;  // elements a task, roughly

// How a dense [rows, columns] result is cut: rows longer than a block into pieces, shorter ones into groups.
struct Blocks {
  int64_t rows = 1, columns;

  Blocks(int64_t rank, const int64_t* shape) : columns(shape[rank - 1]) {
    for (int i = 0; i + 1 < rank; ++i) rows *= shape[i];
  }
  bool are_pieces() const { return columns > kElementwiseBlock; }
  int64_t pieces() const { return (columns + kElementwiseBlock - 1) / kElementwiseBlock; }
  int64_t group() const { return kElementwiseBlock / columns; }
  int64_t tasks() const {
    if (rows == 0 || columns == 0) return 0;
    return are_pieces() ? rows * pieces() : (rows + group() - 1) / group();
  }
  int64_t elements() const { return rows * columns; }
};

// The cut of a call whose Params have `rank` and `shape`.
template <class Params>
Blocks blocks_of(const void* params) {
  const auto& p = *static_cast<const Params*>(params);
  return {p.rank, p.shape};
}

// Calls row(out, offsets, n) for every run of n elements of tasks [begin, end): the result's first element and the
// operands' in elements. Strides of operand k are strides[k][axis].
template <int N, class RowFn>
inline void for_rows(int64_t rank, const int64_t* shape, const int64_t* const (&strides)[N], int64_t begin, int64_t end,
                     RowFn row) {
  const Blocks blocks(rank, shape);
  int64_t r, stop, from = 0, n = blocks.columns;
  if (blocks.are_pieces()) {
    r = begin / blocks.pieces();
    stop = (end + blocks.pieces() - 1) / blocks.pieces();
  } else {
    r = begin * blocks.group();
    stop = end * blocks.group() < blocks.rows ? end * blocks.group() : blocks.rows;
  }
  int64_t index[kMaxRank] = {}, offsets[N] = {};
  for (int64_t i = rank - 2, rest = r; i >= 0; --i) {
    index[i] = rest % shape[i];
    rest /= shape[i];
    for (int k = 0; k < N; ++k) offsets[k] += index[i] * strides[k][i];
  }
  for (; r < stop; ++r) {
    if (blocks.are_pieces()) {
      const int64_t first = r * blocks.pieces();
      from = begin > first ? (begin - first) * kElementwiseBlock : 0;
      const int64_t to = end - first < blocks.pieces() ? (end - first) * kElementwiseBlock : blocks.columns;
      n = to - from;
    }
    int64_t at[N];
    for (int k = 0; k < N; ++k) at[k] = offsets[k] + from * strides[k][rank - 1];
    row(r * blocks.columns + from, at, n);
    for (int64_t i = rank - 2; i >= 0; --i) {
      for (int k = 0; k < N; ++k) offsets[k] += strides[k][i];
      if (++index[i] < shape[i]) break;
      for (int k = 0; k < N; ++k) offsets[k] -= shape[i] * strides[k][i];
      index[i] = 0;
    }
  }
}

// The same for results of at least two axes whose rows are no longer than a block: calls run(out, offsets, rows) for
// every run of rows along the axis before the last.
template <int N, class RunFn>
inline void for_runs(int64_t rank, const int64_t* shape, const int64_t* const (&strides)[N], int64_t begin, int64_t end,
                     RunFn run) {
  const Blocks blocks(rank, shape);
  const int64_t stop = end * blocks.group() < blocks.rows ? end * blocks.group() : blocks.rows;
  for (int64_t r = begin * blocks.group(); r < stop;) {
    int64_t rest = r, offsets[N] = {};
    for (int64_t i = rank - 2; i >= 0; --i) {
      for (int k = 0; k < N; ++k) offsets[k] += rest % shape[i] * strides[k][i];
      rest /= shape[i];
    }
    const int64_t left = shape[rank - 2] - r % shape[rank - 2], n = left < stop - r ? left : stop - r;
    run(r * blocks.columns, offsets, n);
    r += n;
  }
}

}  // namespace
}  // namespace rushlight
