// The first half of a step of group_norm, of the family kernels/norm of the CPU: sums of channels over `spatial`, of x
// (SQUARED 0), or of the squares of its differences from the groups' means. Grid: a block of 512 threads for COLUMNS
// channels of all images.
#include "columns.cuh"

struct NormSumsParams {
  const float* x;
  const float* means;  // [outer, groups]
  float* sums;         // [outer, groups * n]
  int64_t outer;
  int64_t spatial;
  int64_t channels;
  int64_t n;
};

KERNEL(norm_sums, kColumnThreads, 1, NormSumsParams) {
  SHARED_MEMORY(memory);
  float* shared = reinterpret_cast<float*>(memory);
  const int64_t columns = p.outer * p.channels;
  const Column column(columns, p.channels);
  const float* x = p.x + column.outer * p.spatial * p.channels + column.inner;
  const float mean = SQUARED && column.exists ? p.means[column.index / p.n] : 0.0f;
  const auto value = [=](float v) { return SQUARED ? (v - mean) * (v - mean) : v; };
  const float sum = reduce_column<Sum>(column, x, p.spatial, p.channels, shared, value);
  if (column.exists && column.group == 0) p.sums[column.index] = sum;
}
