// Tasks of a reduction over the middle of a dense [outer, n, inner] view: groups of rows where inner is 1, else groups
// of columns. For ISA files and for task counts alike.
#pragma once

#include <cstdint>

namespace rushlight {
namespace {

constexpr int64_t kRowBlock = 4096;  // elements that a task of rows has, roughly
constexpr int64_t kColumnBlock = 64;

struct ReductionTasks {
  int64_t outer, n, inner;

  int64_t rows_a_task() const { return n < kRowBlock ? kRowBlock / (n > 0 ? n : 1) : 1; }
  int64_t column_blocks() const { return (inner + kColumnBlock - 1) / kColumnBlock; }
  int64_t count() const { return inner == 1 ? (outer + rows_a_task() - 1) / rows_a_task() : outer * column_blocks(); }

  // Calls row(r) for the rows of tasks [begin, end) where inner is 1, else columns(o, first, width) for their columns.
  template <class RowFn, class ColumnsFn>
  void visit(int64_t begin, int64_t end, RowFn row, ColumnsFn columns) const {
    if (inner == 1) {
      const int64_t stop = end * rows_a_task() < outer ? end * rows_a_task() : outer;
      for (int64_t r = begin * rows_a_task(); r < stop; ++r) row(r);
      return;
    }
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % column_blocks() * kColumnBlock;
      columns(task / column_blocks(), first, inner - first < kColumnBlock ? inner - first : kColumnBlock);
    }
  }
};

}  // namespace
}  // namespace rushlight
