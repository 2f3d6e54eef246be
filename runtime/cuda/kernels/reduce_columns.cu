// Reductions of float32 with 64 partial results, of the family kernels/reduce of the CPU, where inner is not 1.
// `detail`: whether the results are divided by n. Grid: a block of 512 threads for COLUMNS columns.
#include "columns.cuh"
#include "reduce.cuh"

KERNEL(reduce_columns, kColumnThreads, 1, ReduceCall) {
  SHARED_MEMORY(shared);
  const int64_t n = p.p.n, inner = p.p.inner;
  const Column column(p.p.outer * inner, inner);
  const float* x = p.x + column.outer * n * inner + column.inner;
  const float result =
      reduce_column<OP>(column, x, n, inner, reinterpret_cast<float*>(shared), [](float v) { return v; });
  if (column.exists && column.group == 0) {
    p.out[column.index] = p.detail ? result / static_cast<float>(n) : result;
  }
}
