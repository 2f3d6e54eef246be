// Integer matrix product on Hopper (sm_90a): sum[m, n] = sum over k of x[m, k] * weight[n, k], then the epilogue.
//
// One warp group's first thread keeps a ring of STAGES tiles filled by tensor memory access; two warp groups of 64 rows
// each multiply. Blocks stay and take tile after tile, so that loads for the next tile run during an epilogue. Grid:
// (at most tiles, 1, 1), 384 threads, STAGES * (128 + 256) * 128 + 2 * 64 * 272 + 16 * STAGES bytes of shared memory.
#include "hopper.cuh"
#include "tile_store.cuh"

struct HopperParams {
  TensorMap x;       // [m, k], tiles of 128 rows
  TensorMap weight;  // [n, k], tiles of 256 rows
  Epilogue epilogue;
  Batch batch;  // of one matrix
  int32_t m;
  int32_t n;
  int32_t tiles_k;  // ceil(k / 128)
};

namespace {

constexpr int kBlockM = 128, kBlockN = 256, kBlockK = 128;
constexpr int kConsumers = 2, kGroup = 128, kThreads = (kConsumers + 1) * kGroup;
constexpr int kTileX = kBlockM * kBlockK, kStageBytes = (kBlockM + kBlockN) * kBlockK;
constexpr int kRowsOfGroup = kBlockM / kConsumers, kStaging = kRowsOfGroup * (kBlockN + 16);
constexpr int kRaster = 16;  // tile rows that are worked on together, so that L2 keeps their weights
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;  // of 65536 / 384 = 168 at the start

struct Tile {
  int m, n;
};

DEVICE Tile locate(int tile, int tiles_m, int tiles_n) {
  const int band = tile / (kRaster * tiles_n), within = tile % (kRaster * tiles_n);
  const int height = tiles_m - band * kRaster < kRaster ? tiles_m - band * kRaster : kRaster;
  return {(band * kRaster + within % height) * kBlockM, within / height * kBlockN};
}

// A place in the ring and the parity of its round.
struct Cursor {
  int stage = 0, parity = 0;
};

DEVICE void advance(Cursor& cursor) {
  if (++cursor.stage < STAGES) return;
  cursor.stage = 0;
  cursor.parity ^= 1;
}

}  // namespace

KERNEL(qgemm_sm90, kThreads, 1, HopperParams) {
  SHARED_MEMORY(shared);
  unsigned char* staging = shared + STAGES * kStageBytes;
  auto* full = reinterpret_cast<uint64_t*>(staging + kConsumers * kStaging);
  uint64_t* empty = full + STAGES;
  const int thread = static_cast<int>(threadIdx.x), group = thread / kGroup;
  const int tiles_m = (p.m + kBlockM - 1) / kBlockM, tiles_n = (p.n + kBlockN - 1) / kBlockN;
  const int tiles = tiles_m * tiles_n, step = static_cast<int>(gridDim.x);
  if (thread == 0) {
    for (int stage = 0; stage < STAGES; ++stage) {
      init_barrier(&full[stage], 1);
      init_barrier(&empty[stage], kConsumers * kGroup / 32);
    }
    publish_barriers();
  }
  sync_threads();
  Cursor cursor;
  if (group == kConsumers) {
    give_registers<kProducerRegisters>();
    for (int tile = static_cast<int>(blockIdx.x); thread == kConsumers * kGroup && tile < tiles; tile += step) {
      const Tile at = locate(tile, tiles_m, tiles_n);
      for (int k = 0; k < p.tiles_k; ++k, advance(cursor)) {
        unsigned char* dst = shared + cursor.stage * kStageBytes;
        wait_barrier(&empty[cursor.stage], cursor.parity ^ 1);
        arrive_expecting(&full[cursor.stage], kStageBytes);
        load_tile(dst, &p.x, k * kBlockK, at.m, &full[cursor.stage]);
        load_tile(dst + kTileX, &p.weight, k * kBlockK, at.n, &full[cursor.stage]);
      }
    }
  } else {
    take_registers<kConsumerRegisters>();
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += step) {
      int sums[1][kBlockN / 8][4];
      int previous = 0;
      for (int k = 0; k < p.tiles_k; ++k, advance(cursor)) {
        const unsigned char* x = shared + cursor.stage * kStageBytes;
        const uint64_t a = describe_tile(x + group * kRowsOfGroup * kBlockK), b = describe_tile(x + kTileX);
        wait_barrier(&full[cursor.stage], cursor.parity);
        begin_products();
#pragma unroll
        for (int i = 0; i < kBlockK / 32; ++i) multiply_tiles(sums[0], a, b, i, k > 0 || i > 0);
        commit_products();
        wait_products<1>();
        if (k > 0 && thread % 32 == 0) arrive(&empty[previous]);
        previous = cursor.stage;
      }
      wait_products<0>();
      settle_products(sums[0]);
      if (thread % 32 == 0) arrive(&empty[previous]);
      const Tile at = locate(tile, tiles_m, tiles_n);
      const int member = renew(thread % kGroup);
      const int row = at.m + group * kRowsOfGroup;
      const auto sync = [&] { sync_named(1 + group, kGroup); };
      const Target target = find_target(p.epilogue, p.batch, 0, row, p.m, at.n);
      store_tile<kRowsOfGroup, kBlockN, kGroup>(p.epilogue, sums, staging + group * kStaging, member, member / 32 * 16,
                                                0, target, sync);
      sync();
    }
  }
}
