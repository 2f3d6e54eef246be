// layer_norm (CENTRED) and rms_norm of the family kernels/norm of the CPU where n is at most 64 * PAIRS: a warp a row,
// which stays in registers. Grid: any number of blocks of 128 threads.
#include "norm.cuh"
#include "reduction.cuh"

namespace {

template <bool Paired>
DEVICE void take_rows(const NormCall& p) {
  const int n = static_cast<int>(p.p.n);
  for_each_row(p.p.outer, [&](int64_t row, int first) {
    const float* x = p.x + row * n;
    Pair v[PAIRS];
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) v[j] = load_pair<Paired>(x, j * kPartials + first, n, 0.0f);
    float mean = 0.0f;
    if (CENTRED) {
      RowPartials<Sum> sums;
#pragma unroll
      for (int j = 0; j < PAIRS; ++j) sums.add(v[j].lane[0], v[j].lane[1]);
      mean = sums.fold() / static_cast<float>(n);
    }
    RowPartials<Sum> squares;
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) {
      if (j * kPartials >= n) break;
      float square[2];
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const float d = v[j].lane[k] - mean;
        square[k] = j * kPartials + first + k < n ? d * d : 0.0f;
      }
      squares.add(square[0], square[1]);
    }
    const float factor = reciprocal_root(squares.fold() / static_cast<float>(n), p.p.eps);
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) {
      const int i = j * kPartials + first;
      if (j * kPartials >= n) break;
      Pair weight{{1.0f, 1.0f}}, bias{{-0.0f, -0.0f}};
      if (p.weight) weight = load_pair<Paired>(p.weight, i, n, 1.0f);
      if (p.bias) bias = load_pair<Paired>(p.bias, i, n, 0.0f);
#pragma unroll
      for (int k = 0; k < 2; ++k) v[j].lane[k] = scaled(v[j].lane[k], mean, factor, weight.lane[k], bias.lane[k]);
      store_pair<Paired>(p.out + row * n, i, n, v[j]);
    }
  });
}

}  // namespace

KERNEL(norm_rows, kWarpRowThreads, 4, NormCall) {
  const bool affine_paired = is_paired(p.weight, p.p.n) && is_paired(p.bias, p.p.n);
  if (affine_paired && is_paired(p.x, p.p.n) && is_paired(p.out, p.p.n)) {
    take_rows<true>(p);
  } else {
    take_rows<false>(p);
  }
}
