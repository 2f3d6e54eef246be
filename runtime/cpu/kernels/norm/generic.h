// The ISA files' template.
#pragma once

#include "kernels/kernel.h"
#include "kernels/norm/functions.h"
#include "kernels/vec/partials.h"
#include "kernels/vec/view.h"

namespace rushlight {
namespace {

struct Operands {
  const NormParams& p;
  const float *x, *weight, *bias;
  float* out;

  RL_INLINE explicit Operands(const Call& call)
      : p(*static_cast<const NormParams*>(call.params)),
        x(static_cast<const float*>(call.operand[0])),
        weight(static_cast<const float*>(call.operand[1])),
        bias(static_cast<const float*>(call.operand[2])),
        out(static_cast<float*>(call.operand[3])) {}
};

RL_INLINE V load_lanes(const float* p, int lanes) { return lanes == kWidth ? load(p) : load_n(p, lanes); }

// out[i] = f(x[i], i, lanes), i in [0, n).
template <class Fn>
RL_INLINE void map(const float* x, float* out, int64_t n, Fn f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, f(load(x + i), i, kWidth));
  const int left = int(n - i);
  if (left > 0) store_n(out + i, f(load_n(x + i, left), i, left), left);
}

RL_INLINE void scale_row(const Operands& o, int64_t row, float mean, float factor) {
  const int64_t n = o.p.n;
  const float* x = o.x + row * n;
  float* out = o.out + row * n;
  const V shift = set(mean), r = set(factor);
  const float *weight = o.weight, *bias = o.bias;
  if (weight && bias) {
    map(x, out, n, [=](V v, int64_t i, int lanes) __attribute__((always_inline)) {
      return fma((v - shift) * r, load_lanes(weight + i, lanes), load_lanes(bias + i, lanes));
    });
  } else if (weight) {
    map(x, out, n, [=](V v, int64_t i, int lanes) __attribute__((always_inline)) {
      return (v - shift) * r * load_lanes(weight + i, lanes);
    });
  } else if (bias) {
    map(x, out, n, [=](V v, int64_t i, int lanes) __attribute__((always_inline)) {
      return (v - shift) * r + load_lanes(bias + i, lanes);
    });
  } else {
    map(x, out, n, [=](V v, int64_t, int) __attribute__((always_inline)) { return (v - shift) * r; });
  }
}

constexpr int64_t kTogether = 8;

// Up to kTogether rows from `row` on, step by step: what folds the lanes of one, and its root, take as long as all its
// other steps, but need not wait for them.
template <bool IsCentred>
void normalize_rows(const Operands& o, int64_t row, int64_t rows) {
  const int64_t n = o.p.n;
  const float* const x = o.x + row * n;
  V lanes[kTogether];
  float mean[kTogether] = {}, factor[kTogether];
  if constexpr (IsCentred) {
    for (int64_t i = 0; i < rows; ++i) lanes[i] = reduce_lanes<Sum>(x + i * n, n, [](V v) { return v; });
    for (int64_t i = 0; i < rows; ++i) mean[i] = fold(lanes[i], Sum()) / float(n);
  }
  for (int64_t i = 0; i < rows; ++i) {
    const V shift = set(mean[i]);
    lanes[i] = reduce_lanes<Sum>(x + i * n, n, [shift](V v) { return (v - shift) * (v - shift); });
  }
  for (int64_t i = 0; i < rows; ++i) factor[i] = reciprocal_root(fold(lanes[i], Sum()) / float(n), o.p.eps);
  for (int64_t i = 0; i < rows; ++i) scale_row(o, row + i, mean[i], factor[i]);
}

template <bool IsCentred>
RL_INLINE void norm_of_rows(const Call& call, int64_t begin, int64_t end) {
  const Operands o(call);
  const ReductionTasks tasks{o.p.outer, o.p.n, 1};
  const int64_t block = tasks.rows_a_task(), together = block < kTogether ? block : kTogether;  // that L1 holds
  const int64_t stop = end * block < o.p.outer ? end * block : o.p.outer;
  for (int64_t row = begin * block; row < stop; row += together)
    normalize_rows<IsCentred>(o, row, stop - row < together ? stop - row : together);
}

RL_INLINE void layer_norm(const Call& call, int64_t begin, int64_t end) { norm_of_rows<true>(call, begin, end); }
RL_INLINE void rms_norm(const Call& call, int64_t begin, int64_t end) { norm_of_rows<false>(call, begin, end); }

// Replaces the n * groups sums by finish(mean of their group), the same for all channels of a group.
template <class Finish>
RL_INLINE void spread_means(float* sums, int64_t groups, const NormParams& p, Finish finish) {
  for (int64_t g = 0; g < groups; ++g) {
    float* group = sums + g * p.n;
    const float sum = reduce_row<Sum>(group, p.n, [](V v) { return v; });
    const float result = finish(sum / float(p.n * p.spatial));
    for (int64_t c = 0; c < p.n; ++c) group[c] = result;
  }
}

RL_INLINE void group_norm(const Call& call, int64_t begin, int64_t end) {
  const Operands o(call);
  const NormParams& p = o.p;
  const int64_t channels = p.groups * p.n, step = groups_a_task(p), tasks = (p.groups + step - 1) / step;
  float* mean = reinterpret_cast<float*>(call.scratch);
  float* factor = mean + step * p.n;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t group = task % tasks * step, groups = p.groups - group < step ? p.groups - group : step;
    const int64_t width = groups * p.n, channel = group * p.n;
    const int64_t at = task / tasks * p.spatial * channels + channel;
    const float* x = o.x + at;
    reduce_columns<Sum>(x, p.spatial, channels, width, mean, [](V v, int64_t) { return v; });
    spread_means(mean, groups, p, [](float m) { return m; });
    reduce_columns<Sum>(x, p.spatial, channels, width, factor, [&](V v, int64_t c) __attribute__((always_inline)) {
      const V d = v - load_lanes(mean + c, width - c < kWidth ? int(width - c) : kWidth);
      return d * d;
    });
    spread_means(factor, groups, p, [&](float power) { return reciprocal_root(power, p.eps); });
    if (o.weight)
      for (int64_t c = 0; c < width; ++c) factor[c] *= o.weight[channel + c];
    const float* bias = o.bias ? o.bias + channel : nullptr;
    for (int64_t s = 0; s < p.spatial; ++s)
      map(x + s * channels, o.out + at + s * channels, width,
          [&](V v, int64_t c, int lanes) __attribute__((always_inline)) {
            const V shift = bias ? load_lanes(bias + c, lanes) : zero();
            return fma(v - load_lanes(mean + c, lanes), load_lanes(factor + c, lanes), shift);
          });
  }
}

}  // namespace

#define NORM(op) \
  void RL_ROW(op##_f32f32)(const Call& call, int64_t begin, int64_t end) { op(call, begin, end); }
#include "kernels/norm/kernels.inc"
#undef NORM

}  // namespace rushlight
