// Canonical reductions (kernels/vec/reduction.h of the CPU) along the columns of a dense [outer, n, inner] view.
// A block takes COLUMNS neighbouring columns; for each of them 512 / COLUMNS threads share out the 64 partials, so that
// thread g has g, g + 512 / COLUMNS ...
#pragma once
#include "device.cuh"
#include "kernels/vec/reduction.h"

using namespace rushlight;

constexpr int kColumnThreads = 512, kColumns = COLUMNS;
constexpr int kColumnGroups = kColumnThreads / kColumns, kGroupPartials = kPartials / kColumnGroups;

static_assert(kColumnGroups * kColumns == kColumnThreads && kGroupPartials * kColumnGroups == kPartials);

// A thread's column, and which of its rows are the thread's.
struct Column {
  int64_t index, outer, inner;  // of the column among all, and its place in the view
  int group;
  bool exists;

  DEVICE Column(int64_t all, int64_t size) {
    index = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x % kColumns;
    group = static_cast<int>(threadIdx.x) / kColumns;
    exists = index < all;
    outer = exists ? index / size : 0;
    inner = exists ? index - outer * size : 0;
  }
};

// Reduces value(x[k * stride]) over k in [0, n), in every thread of the column. `shared` has kColumnThreads elements.
template <class Op, class Value>
DEVICE float reduce_column(const Column& column, const float* x, int64_t n, int64_t stride, float* shared,
                           Value value) {
  const Op op;
  V partial[kGroupPartials];
#pragma unroll
  for (V& v : partial) v = set(Op::identity);
  if (column.exists) {
    const int64_t step = stride * kColumnGroups;
    const float* at = x + column.group * stride;
    int64_t k = column.group;
#pragma unroll 4
    for (; k + (kPartials - kColumnGroups) < n; k += kPartials) {
#pragma unroll
      for (V& v : partial) {
        v = op(v, set(value(*at)));
        at += step;
      }
    }
#pragma unroll
    for (int i = 0; i < kGroupPartials - 1; ++i) {
      if (k + i * kColumnGroups < n) {
        partial[i] = op(partial[i], set(value(*at)));
        at += step;
      }
    }
  }
#pragma unroll
  for (int half = kGroupPartials / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) partial[i] = op(partial[i], partial[i + half]);
  }
  float* own = shared + threadIdx.x;
  *own = partial[0].lane;
  sync_threads();
#pragma unroll
  for (int half = kColumnGroups / 2; half > 0; half /= 2) {
    if (column.group < half) *own = op(set(*own), set(own[half * kColumns])).lane;
    sync_threads();
  }
  const float result = shared[threadIdx.x % kColumns];
  sync_threads();
  return result;
}
