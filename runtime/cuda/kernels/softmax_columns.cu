// The family kernels/softmax of the CPU where inner is not 1. Grid: a block of 512 threads for COLUMNS columns.
#include "columns.cuh"
#include "softmax.cuh"

namespace {

template <class Function>
DEVICE void finish(Function, const Column& column, const float* x, float sum, float most, int64_t at,
                   const SoftmaxCall& p) {
  const float common = Function::common(sum, most);
  if constexpr (Function::kReduces) {
    if (column.group == 0) p.out[column.index] = common;
  } else {
#pragma unroll 4
    for (int64_t k = column.group; k < p.p.n; k += kColumnGroups) {
      const float v = x[k * p.p.inner];
      p.out[at + k * p.p.inner] =
          Function::element(Function::kTakesExponentials ? exponential(v, most) : v, most, common);
    }
  }
}

}  // namespace

KERNEL(softmax_columns, kColumnThreads, 1, SoftmaxCall) {
  SHARED_MEMORY(memory);
  float* shared = reinterpret_cast<float*>(memory);
  const int64_t n = p.p.n, inner = p.p.inner;
  const Column column(p.p.outer * inner, inner);
  const int64_t at = column.outer * n * inner + column.inner;
  const float* x = p.x + at;
  const float most = reduce_column<Maximum>(column, x, n, inner, shared, [](float v) { return v; });
  const float sum = reduce_column<Sum>(column, x, n, inner, shared, [=](float v) { return exponential(v, most); });
  if (column.exists) finish(FUNCTION(), column, x, sum, most, at, p);
}
