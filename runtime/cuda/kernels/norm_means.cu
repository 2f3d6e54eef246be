// The second half of a step of group_norm, of the family kernels/norm of the CPU: means of groups from the sums of
// their n channels, or of the squared differences (SQUARED) the reciprocal roots. A warp a group; grid: any number of
// blocks.
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

KERNEL(norm_means, kWarpRowThreads, 1, NormMeansParams) {
  for_each_row(p.rows, [&](int64_t row, int first) {
    RowPartials<Sum> partials;
#pragma unroll 4
    for (int64_t i = first; i - first < p.n; i += kPartials) {
      const Pair v = load_pair<false>(p.sums + row * p.n, i, p.n, 0.0f);
      partials.add(v.lane[0], v.lane[1]);
    }
    const float mean = partials.fold() / static_cast<float>(p.elements);
    if (first == 0) p.means[row] = SQUARED ? reciprocal_root(mean, p.eps) : mean;
  });
}
