// Reductions of float32 with 64 partial results, of the family kernels/reduce of the CPU, of long rows: a block a row.
// `detail`: whether the result is divided by n. Grid: any number of blocks of 512 threads.
#include "long_row.cuh"
#include "reduce.cuh"

KERNEL(reduce_long_rows, kRowThreads, 1, ReduceCall) {
  SHARED_MEMORY(shared);
  LongRow row(reinterpret_cast<float*>(shared), kRowRing);
  for (int64_t index = blockIdx.x; index < p.p.outer; index += gridDim.x) {
    row.open(p.x + index * p.p.n, p.p.n);
    const float result = row.reduce<OP>([](float x) { return x; });
    if (threadIdx.x == 0) p.out[index] = p.detail ? result / static_cast<float>(p.p.n) : result;
  }
}
