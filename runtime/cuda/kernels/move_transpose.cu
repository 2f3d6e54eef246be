// The op copy of the CPU's family kernels/move where neighbours in dst are none in src: tiles go through shared memory,
// so that both are touched in runs. Grid: any number of blocks of 256 threads; 8448 bytes of shared memory.
#include "axes.cuh"

struct TransposeCall {
  const uint8_t* src;
  uint8_t* dst;
  Axes axes;      // around the tiles, in elements
  int64_t inner;  // elements side by side in dst, `inner_step` apart in src
  int64_t cross;  // side by side in src, `cross_step` apart in dst
  int64_t inner_step;
  int64_t cross_step;
  int64_t tiles;
  uint32_t tiles_inner;
  uint32_t tiles_cross;
  int32_t bytes;  // of an element: 1, 2, 4 or 8
};

namespace {

constexpr int kLanes = 32, kRows = kUnitThreads / kLanes;

template <class T, int Tile>
DEVICE void transpose(const TransposeCall& p, unsigned char* shared) {
  // Columns of the tile lie in different banks.
  constexpr int kPitch = Tile + (sizeof(T) < 4 ? 4 / static_cast<int>(sizeof(T)) : 1);
  T* tile = reinterpret_cast<T*>(shared);
  const int lane = static_cast<int>(threadIdx.x) % kLanes, row = static_cast<int>(threadIdx.x) / kLanes;
  for (int64_t at = blockIdx.x; at < p.tiles; at += gridDim.x) {
    const auto number = static_cast<uint32_t>(at);
    const int64_t cross0 = static_cast<int64_t>(number % p.tiles_cross) * Tile;
    const int64_t inner0 = static_cast<int64_t>(number / p.tiles_cross % p.tiles_inner) * Tile;
    const auto around = locate<2>(p.axes, number / p.tiles_cross / p.tiles_inner);
    const T* src = reinterpret_cast<const T*>(p.src) + around.of[0] + inner0 * p.inner_step + cross0;
    T* dst = reinterpret_cast<T*>(p.dst) + around.of[1] + cross0 * p.cross_step + inner0;
    const int64_t inner = p.inner - inner0, cross = p.cross - cross0;
#pragma unroll
    for (int r = 0; r < Tile; r += kRows) {
#pragma unroll
      for (int c = 0; c < Tile; c += kLanes) {
        const int i = r + row, j = c + lane;
        if (i < inner && j < cross) tile[i * kPitch + j] = src[i * p.inner_step + j];
      }
    }
    sync_threads();
#pragma unroll
    for (int r = 0; r < Tile; r += kRows) {
#pragma unroll
      for (int c = 0; c < Tile; c += kLanes) {
        const int j = r + row, i = c + lane;
        if (i < inner && j < cross) dst[j * p.cross_step + i] = tile[i * kPitch + j];
      }
    }
    sync_threads();
  }
}

}  // namespace

KERNEL(move_transpose, kUnitThreads, 1, TransposeCall) {
  SHARED_MEMORY(shared);
  switch (p.bytes) {
    case 1: return transpose<uint8_t, 64>(p, shared);
    case 2: return transpose<uint16_t, 64>(p, shared);
    case 4: return transpose<uint32_t, 32>(p, shared);
    default: return transpose<uint64_t, 32>(p, shared);
  }
}
