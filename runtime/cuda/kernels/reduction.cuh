// Canonical reductions (kernels/vec/reduction.h of the CPU) of rows by warps: lane l has partials 2l and 2l + 1, so
// that a warp reads 64 elements at once, 8 bytes a lane.
#pragma once
#include "device.cuh"
#include "kernels/vec/reduction.h"

using namespace rushlight;

constexpr int kWarp = 32;

constexpr int kWarpRowThreads = 128, kRowsAtOnce = kWarpRowThreads / kWarp;

// Calls visit(row, first) for every row in [0, rows), a warp a row; `first`: a lane's first element of 64. Blocks have
// kWarpRowThreads.
template <class Visit>
DEVICE void for_each_row(int64_t rows, Visit visit) {
  const int first = static_cast<int>(threadIdx.x) % kWarp * 2;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kRowsAtOnce;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsAtOnce + threadIdx.x / kWarp; row < rows; row += step) {
    visit(row, first);
  }
}

struct alignas(8) Pair {
  float lane[2];
};

// Whether pairs of a row's elements are aligned in all rows of n at `address`.
DEVICE bool is_paired(const void* address, int64_t n) {
  return reinterpret_cast<uintptr_t>(address) % 8 == 0 && n % 2 == 0;
}

// Elements i and i + 1 of n, those that there are not as `absent`; i is even. Paired says what is_paired does.
template <bool Paired>
DEVICE Pair load_pair(const float* x, int64_t i, int64_t n, float absent) {
  Pair v{{absent, absent}};
  if constexpr (Paired) {
    if (i < n) v = *reinterpret_cast<const Pair*>(x + i);
  } else {
    if (i < n) v.lane[0] = x[i];
    if (i + 1 < n) v.lane[1] = x[i + 1];
  }
  return v;
}

template <bool Paired>
DEVICE void store_pair(float* out, int64_t i, int64_t n, Pair v) {
  if constexpr (Paired) {
    if (i < n) *reinterpret_cast<Pair*>(out + i) = v;
  } else {
    if (i < n) out[i] = v.lane[0];
    if (i + 1 < n) out[i + 1] = v.lane[1];
  }
}

template <class Op>
struct RowPartials {
  V v[2] = {set(Op::identity), set(Op::identity)};

  // A pair of elements, in the row's order; an identity for what lies behind its end changes nothing.
  DEVICE void add(float first, float second) {
    const Op op;
    v[0] = op(v[0], set(first));
    v[1] = op(v[1], set(second));
  }

  // All 64 combined, in every lane.
  DEVICE float fold() const {
    const Op op;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const bool is_odd = lane >= 16;  // the half that goes on with the odd partials
    const V other = set(shuffle(is_odd ? v[0].lane : v[1].lane, lane ^ 16));
    V r = is_odd ? op(other, v[1]) : op(v[0], other);
#pragma unroll
    for (int half = 8; half > 0; half /= 2) r = op(r, set(shuffle(r.lane, lane + half)));
    r = op(r, set(shuffle(r.lane, lane + 16)));
    return shuffle(r.lane, 0);
  }
};

// Combines a value of each lane in any order, in every lane: for what no order can change.
template <class Op>
DEVICE float fold_in_any_order(float x) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int half = 16; half > 0; half /= 2) x = Op()(set(x), set(shuffle(x, lane ^ half))).lane;
  return x;
}
