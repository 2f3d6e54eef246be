// Merges runs of `span` tiles in `from` two by two, the first k entries of each, of the family kernels/topk of the CPU:
// to `to`, or to the results where there are no more than two. A thread an entry, which finds its place by a binary
// search in the other run. Grid: any number of blocks of 256 threads.
#include "topk.cuh"

namespace {

constexpr int kThreads = 256;

// Entries of the line's run number `run`.
DEVICE int run_length(const TopkCall& p, int64_t run) {
  const int64_t most = p.span * p.tile, left = p.p.n - run * most;
  const int64_t length = left < most ? left : most;
  return static_cast<int>(length < 0 ? 0 : length < p.p.k ? length : p.p.k);
}

// How many of the sorted entries are lower than `entry`.
DEVICE int count_lower(const Entry* entries, int count, Entry entry) {
  int low = 0;
  while (low < count) {
    const int middle = low + (count - low) / 2;
    if (entries[middle] < entry) {
      low = middle + 1;
    } else {
      count = middle;
    }
  }
  return low;
}

}  // namespace

KERNEL(topk_merge, kThreads, 1, TopkCall) {
  const int64_t lines = p.p.outer * p.p.inner, places = p.tiles * p.pitch, width = p.span * p.pitch;
  const int64_t parts = (places + kThreads - 1) / kThreads;
  for (int64_t unit = blockIdx.x; unit < lines * parts; unit += gridDim.x) {
    const int64_t line = unit / parts, place = (unit - line * parts) * kThreads + threadIdx.x;
    if (place >= places) continue;
    const int run = static_cast<int>(static_cast<uint32_t>(place) / static_cast<uint32_t>(width)), other = run ^ 1;
    const int64_t i = place - run * width;
    if (i >= run_length(p, run)) continue;
    const Entry* entries = p.from + line * places;
    const Entry entry = entries[place];
    const int64_t j = i + count_lower(entries + other * width, run_length(p, other), entry);
    if (j >= p.p.k) continue;
    if (2 * p.span >= p.tiles) {
      store_result(p, line, j, entry.index());
    } else {
      p.to[line * places + (run < other ? run : other) * width + j] = entry;
    }
  }
}
