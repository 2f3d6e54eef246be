// The op qlut of the CPU's family kernels/quantize: out[i] = table[x[i]]. Every lane of a warp reads a copy of the
// table in a bank of its own. Grid: any number of blocks of 256 threads; 8448 bytes of shared memory.
#include "axes.cuh"

struct TableCall {
  const uint8_t* x;
  const uint8_t* table;
  uint8_t* out;
  Axes axes;
};

namespace {
constexpr uint32_t kLanes = 32, kWords = 64;
static_assert(kUnitThreads == 4 * kWords);
}  // namespace

KERNEL(quantize_table, kUnitThreads, 1, TableCall) {
  SHARED_MEMORY(shared);
  auto* copies = reinterpret_cast<uint32_t*>(shared);  // word w of lane l's copy is copies[w * kLanes + l]
  unsigned char* bytes = shared + kWords * kLanes * 4;
  bytes[threadIdx.x] = p.table[threadIdx.x];
  sync_threads();
#pragma unroll
  for (uint32_t i = 0; i < kWords * kLanes; i += kUnitThreads) {
    const uint32_t at = i + threadIdx.x;
    copies[at] = reinterpret_cast<const uint32_t*>(bytes)[at / kLanes];
  }
  sync_threads();
  const uint32_t* own = copies + threadIdx.x % kLanes;
  map_elements<1, 16>(p.axes, [&]<int N>(int64_t to, const Offsets<1>&) {
    auto pack = read_pack<N>(p.x + to, true);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const uint32_t x = pack.lane[i];
      pack.lane[i] = static_cast<uint8_t>(own[x / 4 * kLanes] >> x % 4 * 8);
    }
    write_pack(p.out + to, pack);
  });
}
