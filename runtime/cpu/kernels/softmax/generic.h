// The ISA files' template.
#pragma once

#include "kernels/kernel.h"
#include "kernels/softmax/functions.h"
#include "kernels/vec/partials.h"
#include "kernels/vec/view.h"

namespace rushlight {
namespace {

// out[i] = f(x[i], i), i in [0, n).
template <class Fn>
RL_INLINE void map(const float* x, float* out, int64_t n, Fn f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, f(load(x + i), i));
  if (i < n) store_n(out + i, f(load_n(x + i, int(n - i)), i), int(n - i));
}

RL_INLINE float largest(const float* x, int64_t n) {
  return reduce_row<Maximum>(x, n, [](V v) { return v; });
}
RL_INLINE float sum_of_exp(const float* x, int64_t n, float m) {
  return reduce_row<Sum>(x, n, [m](V v) { return exp_of_negative(v - set(m)); });
}

struct softmax {
  RL_INLINE static void row(const float* x, float* out, int64_t n) {
    const V m = set(largest(x, n));
    map(x, out, n, [m](V v, int64_t) { return exp_of_negative(v - m); });
    const V factor = set(1.0f / reduce_row<Sum>(out, n, [](V e) { return e; }));
    map(out, out, n, [factor](V e, int64_t) { return e * factor; });
  }
  // m and s: the largest element and the sum of exponentials of each of `width` columns.
  RL_INLINE static void columns(const float* x, float* out, int64_t n, int64_t stride, int64_t width, const float* m,
                                const float* s) {
    float factor[kColumns] = {};
    map(s, factor, width, [](V v, int64_t) { return set(1.0f) / v; });
    for (int64_t k = 0; k < n; ++k)
      map(x + k * stride, out + k * stride, width,
          [&](V v, int64_t j) { return exp_of_negative(v - load(m + j)) * load(factor + j); });
  }
};

struct log_softmax {
  RL_INLINE static void row(const float* x, float* out, int64_t n) {
    const float m = largest(x, n);
    const V shift = set(m), log_s = set(log_of(sum_of_exp(x, n, m)));
    map(x, out, n, [=](V v, int64_t) { return (v - shift) - log_s; });
  }
  RL_INLINE static void columns(const float* x, float* out, int64_t n, int64_t stride, int64_t width, const float* m,
                                const float* s) {
    float log_s[kColumns] = {};
    map(s, log_s, width, [](V v, int64_t) { return log(v); });
    for (int64_t k = 0; k < n; ++k)
      map(x + k * stride, out + k * stride, width, [&](V v, int64_t j) { return (v - load(m + j)) - load(log_s + j); });
  }
};

struct logsumexp {
  RL_INLINE static void row(const float* x, float* out, int64_t n) {
    const float m = largest(x, n);
    *out = log_sum(sum_of_exp(x, n, m), m);
  }
  RL_INLINE static void columns(const float*, float* out, int64_t, int64_t, int64_t width, const float* m,
                                const float* s) {
    for (int64_t j = 0; j < width; ++j) out[j] = log_sum(s[j], m[j]);
  }
};

template <class Op>
RL_INLINE void over_axis(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const SoftmaxParams*>(call.params);
  const float* x = static_cast<const float*>(call.operand[0]);
  float* out = static_cast<float*>(call.operand[1]);
  const int64_t out_n = __is_same(Op, logsumexp) ? 1 : p.n;
  ReductionTasks{p.outer, p.n, p.inner}.visit(
      begin, end, [&](int64_t r) { Op::row(x + r * p.n, out + r * out_n, p.n); },
      [&](int64_t image, int64_t first_column, int64_t width) {
        const float* from = x + image * p.n * p.inner + first_column;
        float m[kColumns] = {}, s[kColumns] = {};
        reduce_columns<Maximum>(from, p.n, p.inner, width, m, [](V v, int64_t) { return v; });
        reduce_columns<Sum>(from, p.n, p.inner, width, s,
                            [&](V v, int64_t j) { return exp_of_negative(v - load(m + j)); });
        Op::columns(from, out + image * out_n * p.inner + first_column, p.n, p.inner, width, m, s);
      });
}

}  // namespace

#define SOFTMAX(op) \
  void RL_ROW(op##_f32f32)(const Call& call, int64_t begin, int64_t end) { over_axis<op>(call, begin, end); }
#include "kernels/softmax/kernels.inc"
#undef SOFTMAX

}  // namespace rushlight
