// The SCALAR rows.
#include "kernels/kernel.h"
#include "kernels/reduce/exact.h"
#include "kernels/vec/view.h"

namespace rushlight {
namespace {

// Calls each(x, out, n, stride) for the lines along the reduced axis that tasks [begin, end) cover; x and out count
// elements of the input and of the reduced output.
template <class Each>
void for_lines(const Call& call, int64_t begin, int64_t end, Each each) {
  const auto& p = *static_cast<const ReduceParams*>(call.params);
  ReductionTasks{p.outer, p.n, p.inner}.visit(
      begin, end, [&](int64_t row) { each(row * p.n, row, p.n, 1); },
      [&](int64_t image, int64_t first, int64_t width) {
        for (int64_t i = first; i < first + width; ++i)
          each(image * p.n * p.inner + i, image * p.inner + i, p.n, p.inner);
      });
}

template <class T, template <class> class Op>
void reduce(const Call& call, int64_t begin, int64_t end) {
  for_lines(call, begin, end, [&](int64_t from, int64_t to, int64_t n, int64_t stride) {
    const T* x = static_cast<const T*>(call.operand[0]) + from;
    T result = Op<T>::identity;
    for (int64_t k = 0; k < n; ++k) result = Op<T>::combine(result, x[k * stride]);
    static_cast<T*>(call.operand[1])[to] = result;
  });
}

template <class T, template <class> class Op>
void position(const Call& call, int64_t begin, int64_t end) {
  for_lines(call, begin, end, [&](int64_t from, int64_t to, int64_t n, int64_t stride) {
    const T* x = static_cast<const T*>(call.operand[0]) + from;
    int64_t best = 0;
    for (int64_t k = 1; k < n; ++k)
      if (Op<T>::is_better(x[k * stride], x[best * stride])) best = k;
    static_cast<int64_t*>(call.operand[1])[to] = best;
  });
}

template <class T>
void accumulate(const Call& call, int64_t begin, int64_t end) {
  for_lines(call, begin, end, [&](int64_t from, int64_t, int64_t n, int64_t stride) {
    const T* x = static_cast<const T*>(call.operand[0]) + from;
    T* out = static_cast<T*>(call.operand[1]) + from;
    T sum = 0;
    for (int64_t k = 0; k < n; ++k) out[k * stride] = sum = Sum<T>::combine(sum, x[k * stride]);
  });
}

}  // namespace

#define SCALAR(op, types, function) \
  void op##_##types##_generic(const Call& call, int64_t begin, int64_t end) { function(call, begin, end); }
#include "kernels/reduce/kernels.inc"
#undef SCALAR

}  // namespace rushlight
