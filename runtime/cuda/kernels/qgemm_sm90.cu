// Integer matrix product and convolution on Hopper (sm_90a): the sums of qgemm.cu for one matrix, then the epilogue.
//
// One warp group's first thread keeps a ring of STAGES tiles filled by tensor memory access; two warp groups of 64 rows
// each multiply. Blocks stay and take tile after tile, so that loads for the next tile run during an epilogue. A stage
// is 128 bytes of the depth: 128 / CHUNK chunks, each up to CHUNK channels of one tap. Chosen when compiled:
//   BLOCK_N    columns of a tile: 256, 128 or 64
//   STAGES     of the ring
//   BLOCKS     that share a multiprocessor, which works on one's products during another's epilogue
//   CONVOLVE   0: one tap, and row m of x is image m; 1: x is zero outside of an image
//   CHUNK      128, 64 or 32
// Grid: (at most tiles, 1, 1), 384 threads, STAGES * (128 + BLOCK_N) * 128 + 2 * 64 * (BLOCK_N + 16) + 16 * STAGES
// bytes of shared memory.
#include "hopper.cuh"
#include "tile_store.cuh"
#include "window.cuh"

struct HopperParams {
  TensorMap x;       // [m, k], tiles of 128 rows; where CONVOLVE images, tiles of 128 pixels
  TensorMap weight;  // [n, taps * channels], tiles of BLOCK_N rows
  Epilogue epilogue;
  Batch batch;  // of one matrix
  Window window;
  int32_t m;
  int32_t n;
  int32_t channels;     // of a tap in a row of weights
  int32_t tiles_k;      // stages of the depth
  int32_t last_chunks;  // of the last of them; the others are full
};

namespace {

constexpr int kBlockM = 128, kBlockK = 128;
constexpr int kConsumers = 2, kGroup = 128, kThreads = (kConsumers + 1) * kGroup;
constexpr int kChunks = kBlockK / CHUNK;
constexpr int kChunkX = kBlockM * CHUNK, kChunkWeight = BLOCK_N * CHUNK;
constexpr int kTileX = kBlockM * kBlockK, kStageBytes = (kBlockM + BLOCK_N) * kBlockK;
constexpr int kRowsOfGroup = kBlockM / kConsumers, kStaging = kRowsOfGroup * (BLOCK_N + 16);
constexpr int kRaster = 16;  // tile rows that are worked on together, so that L2 keeps their weights
// Of 65536 / 384 = 168 at the start, of 80 where two blocks share them.
constexpr int kProducerRegisters = BLOCKS == 1 ? 40 : 24, kConsumerRegisters = BLOCKS == 1 ? 232 : 104;

static_assert(BLOCKS == 1 || BLOCKS == 2);

struct Tile {
  int m, n;
};

DEVICE Tile locate(int tile, int tiles_m, int tiles_n) {
  const int band = tile / (kRaster * tiles_n), within = tile % (kRaster * tiles_n);
  const int height = tiles_m - band * kRaster < kRaster ? tiles_m - band * kRaster : kRaster;
  return {(band * kRaster + within % height) * kBlockM, within / height * BLOCK_N};
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

DEVICE int count_chunks(const HopperParams& p, int k) {
  return kChunks > 1 && k + 1 == p.tiles_k ? p.last_chunks : kChunks;
}

// Where the window lies for a row of the result.
struct Corner {
  int left = 0, top = 0, image = 0;
};

DEVICE Corner find_corner(const Window& w, int m) {
  if (!CONVOLVE) return {};
  const int row = m / w.out_width;
  return {m % w.out_width * w.stride_w - w.padding_w, row % w.out_height * w.stride_h - w.padding_h,
          row / w.out_height};
}

// Channels of a tap, and where that tap begins in a row of weights.
struct Chunk {
  int channel = 0, tap = 0, tap_w = 0, tap_h = 0;
};

DEVICE void advance(const HopperParams& p, Chunk& chunk) {
  chunk.channel += CHUNK;
  if (!CONVOLVE || chunk.channel < p.channels) return;
  chunk.channel = 0;
  chunk.tap += p.channels;
  if (++chunk.tap_w < p.window.kernel_width) return;
  chunk.tap_w = 0;
  ++chunk.tap_h;
}

DEVICE void load_chunk(const HopperParams& p, const Chunk& chunk, const Tile& at, const Corner& corner,
                       unsigned char* x, unsigned char* weight, uint64_t* full) {
  if (CONVOLVE) {
    load_pixels(x, &p.x, chunk.channel, corner.left, corner.top, corner.image, chunk.tap_w * p.window.dilation_w,
                chunk.tap_h * p.window.dilation_h, full);
  } else {
    load_tile(x, &p.x, chunk.channel, at.m, full);
  }
  load_tile(weight, &p.weight, chunk.tap + chunk.channel, at.n, full);
}

}  // namespace

KERNEL(qgemm_sm90, kThreads, BLOCKS, HopperParams) {
  SHARED_MEMORY(shared);
  unsigned char* staging = shared + STAGES * kStageBytes;
  auto* full = reinterpret_cast<uint64_t*>(staging + kConsumers * kStaging);
  uint64_t* empty = full + STAGES;
  const int thread = static_cast<int>(threadIdx.x), group = thread / kGroup;
  const int tiles_m = (p.m + kBlockM - 1) / kBlockM, tiles_n = (p.n + BLOCK_N - 1) / BLOCK_N;
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
      const Corner corner = find_corner(p.window, at.m);
      Chunk chunk;
      for (int k = 0; k < p.tiles_k; ++k, advance(cursor)) {
        unsigned char* x = shared + cursor.stage * kStageBytes;
        const int chunks = count_chunks(p, k);
        wait_barrier(&empty[cursor.stage], cursor.parity ^ 1);
        arrive_expecting(&full[cursor.stage], chunks * (kChunkX + kChunkWeight));
        for (int i = 0; i < chunks; ++i, advance(p, chunk)) {
          load_chunk(p, chunk, at, corner, x + i * kChunkX, x + kTileX + i * kChunkWeight, &full[cursor.stage]);
        }
      }
    }
  } else {
    take_registers<kConsumerRegisters>();
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += step) {
      int sums[1][BLOCK_N / 8][4];
      int previous = 0;
      for (int k = 0; k < p.tiles_k; ++k, advance(cursor)) {
        const unsigned char* x = shared + cursor.stage * kStageBytes + group * kRowsOfGroup * CHUNK;
        const unsigned char* weight = shared + cursor.stage * kStageBytes + kTileX;
        const int chunks = count_chunks(p, k);
        wait_barrier(&full[cursor.stage], cursor.parity);
        begin_products();
#pragma unroll 1
        for (int c = 0; c < chunks; ++c) {
          const uint64_t a = describe_tile<CHUNK>(x + c * kChunkX), b = describe_tile<CHUNK>(weight + c * kChunkWeight);
#pragma unroll
          for (int i = 0; i < CHUNK / 32; ++i) multiply_tiles(sums[0], a, b, i, k > 0 || c > 0 || i > 0);
        }
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
      store_tile<kRowsOfGroup, BLOCK_N, kGroup>(p.epilogue, sums, staging + group * kStaging, member, member / 32 * 16,
                                                0, target, sync);
      sync();
    }
  }
}
