// layer_norm (CENTRED) and rms_norm of the family kernels/norm of the CPU for long rows: a block a row. Grid: any
// number of blocks of 512 threads.
#include "long_row.cuh"
#include "norm.cuh"

KERNEL(norm_long_rows, kRowThreads, 1, NormCall) {
  SHARED_MEMORY(shared);
  LongRow row(reinterpret_cast<float*>(shared), p.memory);
  const float n = static_cast<float>(p.p.n);
  for (int64_t index = blockIdx.x; index < p.p.outer; index += gridDim.x) {
    row.open(p.x + index * p.p.n, p.p.n);
    float mean = 0.0f;
    if (CENTRED) mean = row.reduce<Sum>([](float x) { return x; }) / n;
    const float power = row.reduce<Sum>([=](float x) { return (x - mean) * (x - mean); });
    const float factor = reciprocal_root(power / n, p.p.eps);
    float* out = p.out + index * p.p.n;
    row.for_each(
        [&](int64_t i, float x) { out[i] = scaled(x, mean, factor, weight_of(p.weight, i), bias_of(p.bias, i)); });
  }
}
