// cumsum, of the family kernels/reduce of the CPU, where inner is not 1: a thread a column. Grid: any number of blocks
// of 256 threads.
#include "elementwise.cuh"
#include "exact.cuh"
#include "reduce.cuh"

KERNEL(reduce_scan_columns, kElementThreads, 1, ReduceCall) {
  constexpr int kAtOnce = 8;
  const int64_t n = p.p.n, inner = p.p.inner;
  for_each_element(p.p.outer * inner, [&](int64_t column) {
    const int64_t outer = column / inner, from = outer * n * inner + (column - outer * inner);
    INPUT sum = 0;
    for (int64_t k = 0; k < n; k += kAtOnce) {
      INPUT v[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) v[i] = k + i < n ? p.x[from + (k + i) * inner] : INPUT(0);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        sum = sum_of(sum, v[i]);
        if (k + i < n) p.out[from + (k + i) * inner] = sum;
      }
    }
  });
}
