// layer_norm (CENTRED) and rms_norm of the family kernels/norm of the CPU where n is at most 64 * PAIRS: a warp a row,
// which stays in registers. Grid: any number of blocks of 128 threads.
#include "norm.cuh"
#include "reduction.cuh"

namespace {
constexpr int kThreads = 128, kRowsAtOnce = kThreads / kWarp;
}

KERNEL(norm_rows, kThreads, 4, NormCall) {
  const int n = static_cast<int>(p.p.n), first = static_cast<int>(threadIdx.x) % kWarp * 2;
  const bool paired = is_paired(p.x, n), stores_paired = is_paired(p.out, n);
  const bool weight_paired = is_paired(p.weight, n), bias_paired = is_paired(p.bias, n);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kRowsAtOnce;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsAtOnce + threadIdx.x / kWarp; row < p.p.outer;
       row += step) {
    const float* x = p.x + row * n;
    Pair v[PAIRS];
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) v[j] = load_pair(x, j * kPartials + first, n, paired, 0.0f);
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
      Pair weight{{1.0f, 1.0f}}, bias{{-0.0f, -0.0f}};
      if (p.weight) weight = load_pair(p.weight, i, n, weight_paired, 1.0f);
      if (p.bias) bias = load_pair(p.bias, i, n, bias_paired, 0.0f);
#pragma unroll
      for (int k = 0; k < 2; ++k) v[j].lane[k] = scaled(v[j].lane[k], mean, factor, weight.lane[k], bias.lane[k]);
      store_pair(p.out + row * n, i, n, stores_paired, v[j]);
    }
  }
}
