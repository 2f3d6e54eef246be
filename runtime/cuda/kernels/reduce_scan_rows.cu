// cumsum, of the family kernels/reduce of the CPU, where inner is 1: tiles of 32 rows and 64 elements are turned in
// shared memory, where one thread a row adds in order. Grid: any number of blocks of 256 threads.
#include "exact.cuh"
#include "reduce.cuh"

namespace {
constexpr int kThreads = 256, kWarp = 32, kRows = 32, kTile = 64, kPitch = kTile + 1;
}

KERNEL(reduce_scan_rows, kThreads, 1, ReduceCall) {
  SHARED_MEMORY(shared);
  INPUT* tile = reinterpret_cast<INPUT*>(shared);
  const int64_t n = p.p.n;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kRows; first < p.p.outer;
       first += static_cast<int64_t>(gridDim.x) * kRows) {
    const int rows = p.p.outer - first < kRows ? static_cast<int>(p.p.outer - first) : kRows;
    INPUT sum = 0;
    for (int64_t start = 0; start < n; start += kTile) {
      const int count = n - start < kTile ? static_cast<int>(n - start) : kTile;
      const int64_t from = first * n + start;
      for (int row = warp; row < rows; row += kThreads / kWarp) {
        for (int i = lane; i < count; i += kWarp) tile[row * kPitch + i] = p.x[from + row * n + i];
      }
      sync_threads();
      if (thread < rows) {
        INPUT* own = tile + thread * kPitch;
#pragma unroll 8
        for (int i = 0; i < count; ++i) own[i] = sum = sum_of(sum, own[i]);
      }
      sync_threads();
      for (int row = warp; row < rows; row += kThreads / kWarp) {
        for (int i = lane; i < count; i += kWarp) p.out[from + row * n + i] = tile[row * kPitch + i];
      }
      sync_threads();
    }
  }
}
