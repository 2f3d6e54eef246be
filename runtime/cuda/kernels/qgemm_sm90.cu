// Integer matrix product and convolution on Hopper (sm_90a): the sums of qgemm.cu for one matrix, then the epilogue.
//
// One warp group's first thread keeps a ring of STAGES tiles filled by tensor memory access; two warp groups of 64 rows
// each multiply. Blocks stay and take tile after tile, so that loads for the next tile run during an epilogue. A stage
// is 128 bytes of the depth: 128 / CHUNK chunks, each up to CHUNK bytes of channels of one tap. Chosen when compiled:
//   BLOCK_N    columns of a tile: 256, 128 or 64
//   STAGES     of the ring
//   BLOCKS     that share a multiprocessor, which works on one's products during another's epilogue
//   CONVOLVE   0: one tap, and row m of x is image m; 1: x is zero outside of an image
//   CHUNK      128, 64 or 32
// Grid: (at most tiles, 1, 1), 384 threads, STAGES * (128 + BLOCK_N) * 128 + 2 * 64 * (BLOCK_N + 16) + 16 * STAGES
// bytes of shared memory.
#include "hopper_product.cuh"

namespace {

struct Bytes {
  using Sum = int;
  static constexpr int kBytes = 1;
};

}  // namespace

KERNEL(qgemm_sm90, kThreads, BLOCKS, HopperParams) {
  SHARED_MEMORY(shared);
  multiply_tiles_of_block<Bytes>(p, shared);
}
