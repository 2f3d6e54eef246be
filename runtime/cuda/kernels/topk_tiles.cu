// The first k elements of each tile in order, of the family kernels/topk of the CPU: the results where a line is one
// tile, else entries in `to`. A bitonic sort in shared memory, a pair of entries a thread. Grid: any number of blocks
// of tile / 2 threads; neighbouring blocks have neighbouring lines.
#include "topk.cuh"

namespace {

constexpr int kThreads = 512, kWarp = 32;

// The whole block, a thread for every two entries. Until two entries are more than a warp apart, only its lanes
// exchange them.
DEVICE void sort(Entry* entries, int size) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int span = 2; span <= size; span *= 2) {
    for (int half = span / 2; half > 0; half /= 2) {
      const int low = 2 * thread - (thread & (half - 1));
      const Entry a = entries[low], b = entries[low + half];
      if ((b < a) == ((low & span) == 0)) {
        entries[low] = b;
        entries[low + half] = a;
      }
      if ((half > 1 ? half : span) > kWarp) {
        sync_threads();
      } else {
        sync_warp();
      }
    }
  }
}

}  // namespace

KERNEL(topk_tiles, kThreads, 2, TopkCall) {
  SHARED_MEMORY(shared);
  Entry* entries = reinterpret_cast<Entry*>(shared);
  const int64_t lines = p.p.outer * p.p.inner;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int size = static_cast<int>(p.tile);
  for (int64_t unit = blockIdx.x; unit < lines * p.tiles; unit += gridDim.x) {
    const int64_t tile = unit / lines, line = unit - tile * lines, first = tile * size;
    const int count = p.p.n - first < size ? static_cast<int>(p.p.n - first) : size;
    const Bits* x = p.x + line_start(p.p, line, p.p.n) + first * p.p.inner;
    Entry own[2] = {Entry::last(), Entry::last()};
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int i = thread + side * threads;
      if (i < count) own[side] = Entry(rank_of<TYPE>(x[i * p.p.inner], p.p.descending != 0), first + i);
    }
    entries[thread] = own[0];
    entries[thread + threads] = own[1];
    sync_threads();
    sort(entries, size);
    // A thread reads here what it alone overwrites for the next tile.
    for (int j = thread; j < count && j < p.p.k; j += threads) {
      if (p.tiles == 1) {
        store_result(p, line, j, entries[j].index());
      } else {
        p.to[(line * p.tiles + tile) * p.pitch + j] = entries[j];
      }
    }
  }
}
