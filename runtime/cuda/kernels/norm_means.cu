// The second half of a step of group_norm, of the family kernels/norm of the CPU: means of groups from the sums of
// their n channels, or of the squared differences (SQUARED) the reciprocal roots. A warp a group; grid: any number of
// blocks of 128 threads.
#include "norm.cuh"
#include "reduction.cuh"

struct NormMeansParams {
  const float* sums;  // [rows, n]
  float* means;       // [rows]
  int64_t rows;
  int64_t n;
  int64_t elements;  // of a group
  float eps;
};

namespace {
constexpr int kThreads = 128, kRowsAtOnce = kThreads / kWarp;
}

KERNEL(norm_means, kThreads, 1, NormMeansParams) {
  const int first = static_cast<int>(threadIdx.x) % kWarp * 2;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kRowsAtOnce;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsAtOnce + threadIdx.x / kWarp; row < p.rows; row += step) {
    RowPartials<Sum> partials;
#pragma unroll 4
    for (int64_t i = first; i - first < p.n; i += kPartials) {
      const Pair v = load_pair<false>(p.sums + row * p.n, i, p.n, 0.0f);
      partials.add(v.lane[0], v.lane[1]);
    }
    const float mean = partials.fold() / static_cast<float>(p.elements);
    if (first == 0) p.means[row] = SQUARED ? reciprocal_root(mean, p.eps) : mean;
  }
}
