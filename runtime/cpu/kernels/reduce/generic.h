// The ISA files' template: the FLOAT rows.
#pragma once

#include "kernels/kernel.h"
#include "kernels/reduce/reduce.h"
#include "kernels/vec/partials.h"
#include "kernels/vec/view.h"

namespace rushlight {
namespace {

struct Operands {
  ReductionTasks tasks;
  const float* x;
  float* out;

  RL_INLINE explicit Operands(const Call& call)
      : x(static_cast<const float*>(call.operand[0])), out(static_cast<float*>(call.operand[1])) {
    const auto& p = *static_cast<const ReduceParams*>(call.params);
    tasks = {p.outer, p.n, p.inner};
  }
};

template <class Op, class Finish>
RL_INLINE void reduce_with(const Call& call, int64_t begin, int64_t end, Finish finish) {
  const Operands o(call);
  const auto [outer, n, inner] = o.tasks;
  o.tasks.visit(
      begin, end, [&](int64_t row) { o.out[row] = finish(reduce_row<Op>(o.x + row * n, n, [](V x) { return x; })); },
      [&](int64_t image, int64_t first, int64_t width) {
        float* result = o.out + image * inner + first;
        reduce_columns<Op>(o.x + image * n * inner + first, n, inner, width, result, [](V x, int64_t) { return x; });
        for (int64_t i = 0; i < width; ++i) result[i] = finish(result[i]);
      });
}

template <class Op>
RL_INLINE void reduce(const Call& call, int64_t begin, int64_t end) {
  reduce_with<Op>(call, begin, end, [](float result) { return result; });
}

RL_INLINE void mean(const Call& call, int64_t begin, int64_t end) {
  const float n = float(static_cast<const ReduceParams*>(call.params)->n);
  reduce_with<Sum>(call, begin, end, [n](float sum) { return sum / n; });
}

// The first index in [0, n) whose element is `best`, or NaN where that is NaN.
RL_INLINE int64_t find(const float* x, int64_t n, int64_t stride, float best) {
  const V target = set(best);
  int64_t i = 0;
  if (stride == 1)
    for (; i + kWidth <= n; i += kWidth) {
      const V v = load(x + i);
      if (any(eq(v, target) | (is_nan(v) & is_nan(target)))) break;
    }
  for (; i < n; ++i) {
    const float v = x[i * stride];
    if (v == best || (v != v && best != best)) return i;
  }
  return 0;
}

template <class Op>
RL_INLINE void position(const Call& call, int64_t begin, int64_t end) {
  const Operands o(call);
  int64_t* out = static_cast<int64_t*>(call.operand[1]);
  const auto [outer, n, inner] = o.tasks;
  o.tasks.visit(
      begin, end,
      [&](int64_t row) {
        const float* x = o.x + row * n;
        out[row] = find(x, n, 1, reduce_row<Op>(x, n, [](V v) { return v; }));
      },
      [&](int64_t image, int64_t first, int64_t width) {
        float best[kColumns];
        const float* x = o.x + image * n * inner + first;
        reduce_columns<Op>(x, n, inner, width, best, [](V v, int64_t) { return v; });
        for (int64_t i = 0; i < width; ++i) out[image * inner + first + i] = find(x + i, n, inner, best[i]);
      });
}

RL_INLINE void accumulate(const Call& call, int64_t begin, int64_t end) {
  const Operands o(call);
  const auto [outer, n, inner] = o.tasks;
  o.tasks.visit(
      begin, end,
      [&](int64_t row) {
        float sum = 0.0f;
        for (int64_t i = row * n; i < (row + 1) * n; ++i) o.out[i] = sum += o.x[i];
      },
      [&](int64_t image, int64_t first, int64_t width) {
        for (int64_t j = 0; j < width; j += kWidth) {
          const int lanes = width - j < kWidth ? int(width - j) : kWidth;
          V sum = zero();
          for (int64_t k = 0; k < n; ++k) {
            const int64_t at = (image * n + k) * inner + first + j;
            sum = sum + load_n(o.x + at, lanes);
            store_n(o.out + at, sum, lanes);
          }
        }
      });
}

}  // namespace

#define FLOAT(op, types, function) \
  void RL_ROW(op##_##types)(const Call& call, int64_t begin, int64_t end) { function(call, begin, end); }
#include "kernels/reduce/kernels.inc"
#undef FLOAT

}  // namespace rushlight
