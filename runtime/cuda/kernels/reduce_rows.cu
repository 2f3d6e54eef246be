// Reductions of float32 with 64 partial results, of the family kernels/reduce of the CPU, where inner is 1: a warp a
// row. `detail`: whether the result is divided by n. Grid: any number of blocks of 128 threads.
#include "reduce.cuh"
#include "reduction.cuh"

namespace {

constexpr int kAtOnce = 8;

template <bool Paired>
DEVICE void take_rows(const ReduceCall& p) {
  const int64_t n = p.p.n;
  for_each_row(p.p.outer, [&](int64_t row, int first) {
    const float* x = p.x + row * n;
    RowPartials<OP> partials;
    int64_t start = 0;
    for (; start + kAtOnce * kPartials <= n; start += kAtOnce * kPartials) {
      Pair v[kAtOnce];
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) v[j] = load_pair<Paired>(x, start + j * kPartials + first, n, OP::identity);
#pragma unroll
      for (const Pair& pair : v) partials.add(pair.lane[0], pair.lane[1]);
    }
    for (; start < n; start += kPartials) {
      const Pair v = load_pair<Paired>(x, start + first, n, OP::identity);
      partials.add(v.lane[0], v.lane[1]);
    }
    const float result = partials.fold();
    if (first == 0) p.out[row] = p.detail ? result / static_cast<float>(n) : result;
  });
}

}  // namespace

KERNEL(reduce_rows, kWarpRowThreads, 1, ReduceCall) {
  if (is_paired(p.x, p.p.n)) {
    take_rows<true>(p);
  } else {
    take_rows<false>(p);
  }
}
