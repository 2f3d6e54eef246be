// Reductions of rows by whole blocks, which keep a row in shared memory where it fits, else pass it through a ring of
// tiles. One warp adds, so that every partial sum is its one chain; all threads copy, and compute what is costly.
#pragma once
#include "reduction.cuh"

constexpr int kRowThreads = 512, kRowTile = 2048, kRowStages = 4;
constexpr int kRowRing = kRowTile * kRowStages;  // elements

class LongRow {
 public:
  // `memory` has room for `room` elements, kRowRing of them at least. The whole block calls everything here.
  DEVICE LongRow(float* memory, int64_t room) : memory_(memory), room_(room) {}

  // Takes up a row of n elements.
  DEVICE void open(const float* x, int64_t n) {
    x_ = x;
    n_ = n;
    aligned_ = reinterpret_cast<uintptr_t>(x) % 16 == 0;
    sync_threads();  // the row before is done with
    if (!is_whole()) return;
    copy(memory_, 0, static_cast<int>(n));
    commit_copies();
    wait_copies<0>();
    sync_threads();
  }

  // The row's elements are in `memory`.
  DEVICE bool is_whole() const { return n_ <= room_; }

  // Reduces value(x[i]), in every thread. `change` is applied before to all elements, by all threads: where the row is
  // whole, they stay changed.
  template <class Op, class Value>
  DEVICE float reduce(Value value) {
    return reduce<Op, false>(value, [](float x) { return x; });
  }
  template <class Op, class Change>
  DEVICE float reduce_changed(Change change) {
    return reduce<Op, true>([](float x) { return x; }, change);
  }

  // Calls visit(i, x[i]) for all elements, changed or not; neighbouring threads have neighbouring elements.
  template <class Visit>
  DEVICE void for_each(Visit visit) const {
    const float* x = is_whole() ? memory_ : x_;
    int64_t i = threadIdx.x;
    for (; i + 3 * kRowThreads < n_; i += 4 * kRowThreads) {
      float v[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) v[k] = x[i + k * kRowThreads];
#pragma unroll
      for (int k = 0; k < 4; ++k) visit(i + k * kRowThreads, v[k]);
    }
    for (; i < n_; i += kRowThreads) visit(i, x[i]);
  }

  // A value of every thread, combined in any order, in every thread.
  template <class Op>
  DEVICE float fold_block(float x) {
    x = fold_in_any_order<Op>(x);
    float* results = exchange();
    if (threadIdx.x % kWarp == 0) results[threadIdx.x / kWarp] = x;
    sync_threads();
    x = results[threadIdx.x % (kRowThreads / kWarp)];
    sync_threads();
    return fold_in_any_order<Op>(x);
  }

 private:
  DEVICE float* exchange() const { return memory_ + room_; }

  DEVICE void copy(float* dst, int64_t first, int count) const {
    const float* from = x_ + first;
    const int quads = aligned_ ? count / 4 : 0, thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < quads; i += kRowThreads) copy_async<16>(dst + i * 4, from + i * 4);
    for (int i = quads * 4 + thread; i < count; i += kRowThreads) copy_async<4>(dst + i, from + i);
  }

  // By one warp: elements that lie in shared memory, from one on whose index is a multiple of 64.
  template <class Op, class Value>
  DEVICE static void add(RowPartials<Op>& partials, const float* x, int count, Value value) {
    const int first = static_cast<int>(threadIdx.x) % kWarp * 2;
    int i = first;
#pragma unroll 8
    for (; i - first + kPartials <= count; i += kPartials) {
      const Pair v = *reinterpret_cast<const Pair*>(x + i);
      partials.add(value(v.lane[0]), value(v.lane[1]));
    }
    if (i - first < count) {
      partials.add(i < count ? value(x[i]) : Op::identity, i + 1 < count ? value(x[i + 1]) : Op::identity);
    }
  }

  template <class Op, bool Changes, class Value, class Change>
  DEVICE float reduce(Value value, Change change) {
    const int thread = static_cast<int>(threadIdx.x);
    const auto change_all = [&](float* x, int count) {
      for (int i = thread; i < count; i += kRowThreads) x[i] = change(x[i]);
      sync_threads();
    };
    RowPartials<Op> partials;
    if (is_whole()) {
      if (Changes) change_all(memory_, static_cast<int>(n_));
      if (thread < kWarp) add(partials, memory_, static_cast<int>(n_), value);
    } else {
      const int64_t tiles = (n_ + kRowTile - 1) / kRowTile;
      const auto count = [&](int64_t tile) {
        const int64_t left = n_ - tile * kRowTile;
        return left < kRowTile ? static_cast<int>(left) : kRowTile;
      };
      const auto place = [&](int64_t tile) { return memory_ + tile % kRowStages * kRowTile; };
      const auto copy_tile = [&](int64_t tile) {
        if (tile < tiles) copy(place(tile), tile * kRowTile, count(tile));
        commit_copies();
      };
      for (int tile = 0; tile < kRowStages - 1; ++tile) copy_tile(tile);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        wait_copies<kRowStages - 2>();
        sync_threads();
        copy_tile(tile + kRowStages - 1);
        if (Changes) change_all(place(tile), count(tile));
        if (thread < kWarp) add(partials, place(tile), count(tile), value);
      }
      wait_copies<0>();
    }
    float* result = exchange();
    if (thread < kWarp) {
      const float r = partials.fold();
      if (thread == 0) *result = r;
    }
    sync_threads();
    const float r = *result;
    sync_threads();
    return r;
  }

  float* memory_;
  int64_t room_;
  const float* x_ = nullptr;
  int64_t n_ = 0;
  bool aligned_ = false;
};
