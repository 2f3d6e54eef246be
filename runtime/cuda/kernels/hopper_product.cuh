// The loop of matrix products and convolutions on Hopper (sm_90a), of one matrix. Channels count bytes here, whatever
// type operands are of; an `Element` says how many bytes one takes and of what type sums are. For qgemm_sm90.cu and
// tgemm_sm90.cu, which say how it works and what BLOCK_N, STAGES, BLOCKS, CONVOLVE and CHUNK are.
#pragma once
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
  int32_t channels;     // bytes of a tap in a row of weights
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

// Maps count elements.
template <int ElementBytes>
DEVICE void load_chunk(const HopperParams& p, const Chunk& chunk, const Tile& at, const Corner& corner,
                       unsigned char* x, unsigned char* weight, uint64_t* full) {
  const int channel = chunk.channel / ElementBytes;
  if (CONVOLVE) {
    load_pixels(x, &p.x, channel, corner.left, corner.top, corner.image, chunk.tap_w * p.window.dilation_w,
                chunk.tap_h * p.window.dilation_h, full);
  } else {
    load_tile(x, &p.x, channel, at.m, full);
  }
  load_tile(weight, &p.weight, chunk.tap / ElementBytes + channel, at.n, full);
}

template <class Element>
DEVICE void multiply_tiles_of_block(const HopperParams& p, unsigned char* shared) {
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
          load_chunk<Element::kBytes>(p, chunk, at, corner, x + i * kChunkX, x + kTileX + i * kChunkWeight,
                                      &full[cursor.stage]);
        }
      }
    }
  } else {
    take_registers<kConsumerRegisters>();
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += step) {
      typename Element::Sum sums[1][BLOCK_N / 8][4];
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

}  // namespace
