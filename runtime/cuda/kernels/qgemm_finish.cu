// The end of a product whose depth was split: adds the partial sums and applies the epilogue. One thread an element.
#include "epilogue.cuh"

struct FinishParams {
  const int32_t* partial;  // [splits, elements]
  Epilogue epilogue;
  int64_t elements;
  int32_t splits;
};

namespace {
constexpr int kThreads = 256;
}

KERNEL(qgemm_finish, kThreads, 1, FinishParams) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < p.elements; i += step) {
    int sum = 0;
    for (int split = 0; split < p.splits; ++split) sum += p.partial[split * p.elements + i];
    store_element(p.epilogue, i, static_cast<int>(i % p.epilogue.channels), sum);
  }
}
