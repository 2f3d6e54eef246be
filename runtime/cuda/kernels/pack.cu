// The family kernels/pack of the CPU: matrices computed at run time as fgemm reads weights, [matrices][k][n, padded
// with zeros to a multiple of 16]. A block moves tiles of 32 x 32 through shared memory, so that both sides are read
// and written along their rows. Grid: any number of blocks of 256 threads; 32 * 33 * 4 bytes of shared memory.
#include "device.cuh"
#include "kernels/pack/pack.h"

using namespace rushlight;

struct PackCall {
  const float* src;
  float* dst;
  PackParams p;
};

namespace {
constexpr int kThreads = 256, kSide = 32, kRowsAtOnce = kThreads / kSide, kPitch = kSide + 1;

DEVICE int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }
}  // namespace

KERNEL(pack, kThreads, 4, PackCall) {
  SHARED_MEMORY(shared);
  auto* tile = reinterpret_cast<float*>(shared);  // [k][n]
  const PackParams& q = p.p;
  const int64_t pitch = (q.n + 15) / 16 * 16;
  const int64_t tiles_n = (pitch + kSide - 1) / kSide, tiles_k = (q.k + kSide - 1) / kSide;
  const int64_t tiles = tiles_n * tiles_k * q.batch[0] * q.batch[1];
  const bool along_k = magnitude(q.src_k) < magnitude(q.src_n);  // how the source lies
  const int lane = static_cast<int>(threadIdx.x) % kSide, first = static_cast<int>(threadIdx.x) / kSide;
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    const int64_t n0 = index % tiles_n * kSide, k0 = index / tiles_n % tiles_k * kSide;
    const int64_t matrix = index / tiles_n / tiles_k;
    const float* src = p.src + matrix / q.batch[1] * q.src_batch[0] + matrix % q.batch[1] * q.src_batch[1];
    float* dst = p.dst + matrix * q.k * pitch;
#pragma unroll
    for (int i = 0; i < kSide; i += kRowsAtOnce) {
      const int k = along_k ? lane : first + i, n = along_k ? first + i : lane;
      float value = 0;
      if (k0 + k < q.k && n0 + n < q.n) value = src[(k0 + k) * q.src_k + (n0 + n) * q.src_n];
      tile[k * kPitch + n] = value;
    }
    sync_threads();
#pragma unroll
    for (int i = 0; i < kSide; i += kRowsAtOnce) {
      const int k = first + i;
      if (k0 + k < q.k && n0 + lane < pitch) dst[(k0 + k) * pitch + n0 + lane] = tile[k * kPitch + lane];
    }
    sync_threads();
  }
}
