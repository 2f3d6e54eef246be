// Integer matrix product and convolution on tensor cores, sm_80 and later.
//
//   sum[m, o] = sum over taps (kh, kw) and channels c of x[image, ih, iw, c] * weight[o, kh, kw, c],
//   m = (image, oh, ow), ih = oh * stride_h - padding_h + kh * dilation_h, likewise iw; outside of the image x is its
//   zero point,
//
// then the epilogue, for every matrix of a batch. Without CONVOLVE there is one tap, and row m of x is image m. Chosen
// when compiled:
//   BLOCK_M, BLOCK_N, BLOCK_K   tile of a block; BLOCK_K is 64 or 128 bytes
//   WARPS_M, WARPS_N            how warps share the tile
//   STAGES                      depth of the cp.async pipeline
//   LOAD_BYTES                  16, 8, 4 or 1: divides the channels, the steps of x, and its address
//   CONVOLVE                    0 or 1
// Grid: (tiles * matrices * splits); WARPS_M * WARPS_N * 32 threads; max(STAGES * (BLOCK_M + BLOCK_N) * BLOCK_K,
// BLOCK_M * (BLOCK_N + 16)) bytes of shared memory.
#include "tensor_product.cuh"

namespace {

struct Bytes {
  using Sum = int;
  static DEVICE void prepare(uint32_t (&)[4]) {}
  static DEVICE void multiply(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { multiply_u8s8(d, a, b); }
};

}  // namespace

KERNEL(qgemm, kThreads, 1, ProductParams) {
  SHARED_MEMORY(shared);
  multiply_block<Bytes>(p, shared);
}
