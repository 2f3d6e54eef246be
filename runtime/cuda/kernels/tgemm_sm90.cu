// Float matrix product and convolution on Hopper (sm_90a) in TF32: the sums of tgemm.cu for one matrix, then the
// epilogue. Tensor memory access rounds x on its way; weights are rounded when they are packed. How it works, and what
// is chosen when compiled, as in qgemm_sm90.cu.
#include "hopper_product.cuh"

namespace {

struct Tf32 {
  using Sum = float;
  static constexpr int kBytes = 4;
};

}  // namespace

KERNEL(tgemm_sm90, kThreads, BLOCKS, HopperParams) {
  SHARED_MEMORY(shared);
  multiply_tiles_of_block<Tf32>(p, shared);
}
