// The family kernels/softmax of the CPU where inner is 1, for long rows: a block a row. Grid: any number of blocks of
// 512 threads.
#include "long_row.cuh"
#include "softmax.cuh"

namespace {

template <class Function>
DEVICE void finish(Function, const LongRow& row, float sum, float most, int64_t index, const SoftmaxCall& p) {
  const float common = Function::common(sum, most);
  if constexpr (Function::kReduces) {
    if (threadIdx.x == 0) p.out[index] = common;
  } else {
    const bool takes_x = Function::kTakesExponentials && !row.is_whole();
    row.for_each([&](int64_t i, float x) {
      p.out[index * p.p.n + i] = Function::element(takes_x ? exponential(x, most) : x, most, common);
    });
  }
}

}  // namespace

KERNEL(softmax_long_rows, kRowThreads, 1, SoftmaxCall) {
  SHARED_MEMORY(shared);
  LongRow row(reinterpret_cast<float*>(shared), p.memory);
  for (int64_t index = blockIdx.x; index < p.p.outer; index += gridDim.x) {
    row.open(p.x + index * p.p.n, p.p.n);
    float most = Maximum::identity;
    row.for_each([&](int64_t, float x) { most = Maximum()(set(most), set(x)).lane; });
    most = row.fold_block<Maximum>(most);
    const auto change = [=](float x) { return exponential(x, most); };
    const bool keeps = FUNCTION::kTakesExponentials || !row.is_whole();
    const float sum = keeps ? row.reduce_changed<Sum>(change) : row.reduce<Sum>(change);
    finish(FUNCTION(), row, sum, most, index, p);
  }
}
