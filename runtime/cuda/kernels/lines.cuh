// Reductions, in any order, of the lines along the middle axis of a dense [outer, n, inner] view: 2^bits threads of a
// block share out a line. Neighbouring threads have neighbouring elements, of a line where inner is 1, else of lines.
#pragma once
#include "reduce.cuh"

constexpr int kLineThreads = 256, kLineBits = 8;

class Line {
 public:
  DEVICE Line(const ReduceParams& p, int bits) : members_(1 << bits), lines_(kLineThreads >> bits) {
    const int thread = static_cast<int>(threadIdx.x);
    const bool is_row = p.inner == 1;
    const int line = is_row ? thread >> bits : thread & (lines_ - 1);
    member_ = is_row ? thread & (members_ - 1) : thread >> (kLineBits - bits);
    slot_ = member_ * lines_ + line;
    index = static_cast<int64_t>(blockIdx.x) * lines_ + line;
    exists = index < p.outer * p.inner;
    const int64_t outer = exists ? index / p.inner : 0;
    from_ = exists ? outer * p.n * p.inner + (index - outer * p.inner) : 0;
  }

  int64_t index;  // of the line among all
  bool exists;

  // Whether this thread stores the line's result.
  DEVICE bool leads() const { return exists && member_ == 0; }

  // combine(...(combine(state, x[k], k))) over the line's elements, by all of its threads; `join` combines two states.
  // The result is the leading thread's.
  template <class State, class Combine, class Join>
  DEVICE State reduce(State state, const ReduceParams& p, const INPUT* x, State* shared, Combine combine, Join join) {
    if (exists) {
      const INPUT* at = x + from_ + member_ * p.inner;
      const int64_t step = members_ * p.inner;
#pragma unroll 4
      for (int64_t k = member_; k < p.n; k += members_, at += step) state = combine(state, *at, k);
    }
    shared[slot_] = state;
    sync_threads();
    for (int half = members_ / 2; half > 0; half /= 2) {
      if (member_ < half) shared[slot_] = join(shared[slot_], shared[slot_ + half * lines_]);
      sync_threads();
    }
    return shared[slot_];
  }

 private:
  int members_, lines_, member_, slot_;
  int64_t from_;
};
