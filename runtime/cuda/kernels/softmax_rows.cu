// The family kernels/softmax of the CPU where inner is 1 and n at most 64 * PAIRS: a warp a row, which stays in
// registers. Grid: any number of blocks of 128 threads.
#include "reduction.cuh"
#include "softmax.cuh"

namespace {

// Of one row, whose pairs are `v`, or their exponentials.
template <bool Paired, class Function>
DEVICE void finish(Function, float sum, float most, Pair (&v)[PAIRS], int64_t row, int first, const SoftmaxCall& p) {
  const float common = Function::common(sum, most);
  if constexpr (Function::kReduces) {
    if (first == 0) p.out[row] = common;
  } else {
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) {
#pragma unroll
      for (float& lane : v[j].lane) lane = Function::element(lane, most, common);
      store_pair<Paired>(p.out + row * p.p.n, j * kPartials + first, static_cast<int>(p.p.n), v[j]);
    }
  }
}

template <bool Paired>
DEVICE void take_rows(const SoftmaxCall& p) {
  const int n = static_cast<int>(p.p.n);
  for_each_row(p.p.outer, [&](int64_t row, int first) {
    const float* x = p.x + row * n;
    Pair v[PAIRS];
    float most = Maximum::identity;
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) v[j] = load_pair<Paired>(x, j * kPartials + first, n, Maximum::identity);
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) {
#pragma unroll
      for (const float lane : v[j].lane) most = Maximum()(set(most), set(lane)).lane;
    }
    most = fold_in_any_order<Maximum>(most);
    // What lies behind the row counts as -inf: its exponential is zero, or NaN where those of the row are, too.
    RowPartials<Sum> sums;
#pragma unroll
    for (int j = 0; j < PAIRS; ++j) {
      if (j * kPartials >= n) break;
      Pair e;
#pragma unroll
      for (int k = 0; k < 2; ++k) e.lane[k] = exponential(v[j].lane[k], most);
      sums.add(e.lane[0], e.lane[1]);
      if (FUNCTION::kTakesExponentials) v[j] = e;
    }
    const float sum = sums.fold();
    finish<Paired>(FUNCTION(), sum, most, v, row, first, p);
  });
}

}  // namespace

KERNEL(softmax_rows, kWarpRowThreads, 4, SoftmaxCall) {
  if (is_paired(p.x, p.p.n) && is_paired(p.out, p.p.n)) {
    take_rows<true>(p);
  } else {
    take_rows<false>(p);
  }
}
