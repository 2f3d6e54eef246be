// Float matrix product and convolution on tensor cores in TF32, sm_80 and later: the sums of qgemm.cu of x and weights
// that are rounded to TF32 (10 bits of fraction, halves away from zero), their products exact, added in float32 in the
// order in which tensor cores do; outside of the image x is zero. Then the epilogue adds the bias. What is chosen when
// compiled, the grid and shared memory are as in qgemm.cu; LOAD_BYTES is 16, 8 or 4.
#include "tensor_product.cuh"

namespace {

struct Tf32 {
  using Sum = float;
  static DEVICE void prepare(uint32_t (&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = round_to_tf32(x[i]);
  }
  static DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { multiply_tf32(d, a, b); }
};

static_assert(LOAD_BYTES >= 4);

}  // namespace

KERNEL(tgemm, kThreads, 1, ProductParams) {
  SHARED_MEMORY(shared);
  multiply_block<Tf32>(p, shared);
}
