// The end of a product whose depth was split: adds the partial sums and applies the epilogue. One thread an element.
#include "elementwise.cuh"
#include "epilogue.cuh"

struct FinishParams {
  const int32_t* partial;  // [splits, elements]
  Epilogue epilogue;
  Batch batch;
  int32_t elements;  // [matrices, m, columns]
  int32_t m;
  int32_t splits;
};

KERNEL(qgemm_finish, kElementThreads, 1, FinishParams) {
  for_each_element(p.elements, [&](int64_t i) {
    int sum = 0;
    for (int split = 0; split < p.splits; ++split) sum += p.partial[split * static_cast<int64_t>(p.elements) + i];
    const int row = static_cast<int>(i) / p.epilogue.columns, column = static_cast<int>(i) % p.epilogue.columns;
    const Target t = find_target(p.epilogue, p.batch, row / p.m, row % p.m, p.m, column);
    store_element(p.epilogue, t.out, t.residual, load_channel(p.epilogue, t.offset, t.channel), sum);
  });
}
