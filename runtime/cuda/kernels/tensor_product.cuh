// The loop of matrix products and convolutions on tensor cores, sm_80 and later: tiles of x and of weights come to
// shared memory through a pipeline, warps multiply them, the last block of a tile adds what others have of its depth,
// then the epilogue. Operands are bytes here: channels, runs, pitches and steps of x count them, whatever type they are
// of. An `Element` says what they are and how they are multiplied. For qgemm.cu and tgemm.cu, which say what is
// computed and what BLOCK_M, BLOCK_N, BLOCK_K, WARPS_M, WARPS_N, STAGES, LOAD_BYTES and CONVOLVE are.
#pragma once
#include "tile_store.cuh"
#include "window.cuh"

struct ProductParams {
  const uint8_t* x;
  const uint8_t* weight;       // [matrices, n, pitch]: runs padded to 16 bytes, zeros at their ends and at the row's
  const uint8_t* zero_points;  // 16 bytes, 16-byte aligned: the zero point of x
  uint32_t* partial;           // where splits > 1, which takes BLOCK_M of at most 64: a tile of sums for every block
  uint32_t* counters;          // for every tile of all matrices, zero before and after
  Epilogue epilogue;
  Batch batch;
  Steps steps;
  int32_t m;
  int32_t n;      // output channels
  int32_t pitch;  // at least tiles_k * BLOCK_K, a multiple of 16
  int32_t tiles_k;
  int32_t splits;
  int32_t matrices;
  int32_t channels;  // at least 1
  int32_t run;       // bytes that a row of the kernel takes: kernel_width * channels
  int32_t vectors;   // of 16 bytes: in a tap where LOAD_BYTES is 16, else in a run
  Window window;
};

namespace {

constexpr int kThreads = WARPS_M * WARPS_N * 32;
constexpr int kVectors = BLOCK_K / 16;            // 16-byte vectors in a row of a tile
constexpr int kRowsAtOnce = kThreads / kVectors;  // rows that all threads copy together
constexpr int kRowsX = BLOCK_M / kRowsAtOnce, kRowsWeight = BLOCK_N / kRowsAtOnce;
constexpr int kWarpM = BLOCK_M / WARPS_M, kWarpN = BLOCK_N / WARPS_N;
constexpr int kFragmentsM = kWarpM / 16, kFragmentsN = kWarpN / 8;
constexpr int kSteps = BLOCK_K / 32;
constexpr int kStageBytes = (BLOCK_M + BLOCK_N) * BLOCK_K;
constexpr bool kMaySplit = BLOCK_M <= 64;                // large tiles are for results that fill the device without
constexpr bool kHasTaps = CONVOLVE && LOAD_BYTES == 16;  // a vector is a part of one tap
constexpr int kRaster = 8;  // tile rows that are worked on together, so that L2 keeps their weights

static_assert(BLOCK_K == 64 || BLOCK_K == 128);
static_assert(BLOCK_M % kRowsAtOnce == 0 && BLOCK_N % kRowsAtOnce == 0);
static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && STAGES >= 2);

// Where vector `v` of row `row` lies in a tile: exclusive or spreads eight rows over all banks.
DEVICE int place(int row, int v) { return row * BLOCK_K + ((v ^ (BLOCK_K == 128 ? row & 7 : row >> 1 & 3)) << 4); }

// One thread's part of the rows of x: always the same vector of a tile row, in kRowsX rows.
struct Rows {
  const uint8_t* start[kRowsX];  // of tap (0, 0), which may lie outside
  int top[kRowsX], left[kRowsX];
  int vector, tap_h, tap_w;
};

DEVICE void locate(const ProductParams& p, const uint8_t* x, Rows& rows, int first, int vector) {
#pragma unroll
  for (int i = 0; i < kRowsX; ++i) {
    int m = first + i * kRowsAtOnce;
    if (m >= p.m) m = p.m - 1;
    if (CONVOLVE) {
      const int ow = m % p.window.out_width, oh = m / p.window.out_width % p.window.out_height,
                image = m / p.window.out_width / p.window.out_height;
      rows.top[i] = oh * p.window.stride_h - p.window.padding_h;
      rows.left[i] = ow * p.window.stride_w - p.window.padding_w;
      rows.start[i] = x + image * p.steps.image + rows.top[i] * p.steps.row + rows.left[i] * p.steps.pixel;
    } else {
      rows.top[i] = rows.left[i] = 0;
      rows.start[i] = x + m * p.steps.image;
    }
  }
  const int part = vector / p.vectors;
  rows.vector = vector % p.vectors;
  rows.tap_h = kHasTaps ? part / p.window.kernel_width : part;
  rows.tap_w = kHasTaps ? part % p.window.kernel_width : 0;
}

DEVICE void advance(const ProductParams& p, Rows& rows) {
  rows.vector += kVectors;
  while (rows.vector >= p.vectors) {
    rows.vector -= p.vectors;
    if (kHasTaps && ++rows.tap_w < p.window.kernel_width) continue;
    rows.tap_w = 0;
    ++rows.tap_h;
  }
}

// A vector of 16 bytes of a run holds pieces of LOAD_BYTES, each of one tap.
DEVICE void copy_x(const ProductParams& p, const Rows& rows, unsigned char* tile, int row, int vector) {
  const bool is_row = rows.tap_h < p.window.kernel_height;
  const int first = rows.vector * 16;
  int tap_w = rows.tap_w, channel = first;
  if (CONVOLVE && LOAD_BYTES < 16) {
    tap_w = first / p.channels;
    channel -= tap_w * p.channels;
  }
  Vector16 bytes[kRowsX] = {};
#pragma unroll
  for (int b = 0; b < 16; b += LOAD_BYTES) {
    const bool is_piece = is_row && (LOAD_BYTES == 16 ? p.run > 0 : first + b < p.run);
    const int64_t tap = CONVOLVE ? rows.tap_h * p.steps.tap_h + tap_w * p.steps.tap_w : 0;
#pragma unroll
    for (int i = 0; i < kRowsX; ++i) {
      const int ih = rows.top[i] + rows.tap_h * p.window.dilation_h, iw = rows.left[i] + tap_w * p.window.dilation_w;
      const bool inside = !CONVOLVE || (static_cast<uint32_t>(ih) < static_cast<uint32_t>(p.window.height) &&
                                        static_cast<uint32_t>(iw) < static_cast<uint32_t>(p.window.width));
      const uint8_t* src = is_piece && inside ? rows.start[i] + tap + channel : p.zero_points + b;
      if constexpr (LOAD_BYTES == 1) {
        bytes[i].word[b / 4] |= static_cast<uint32_t>(*src) << b % 4 * 8;
      } else {
        copy_async<LOAD_BYTES>(tile + place(row + i * kRowsAtOnce, vector) + b, src);
      }
    }
    channel += LOAD_BYTES;
    if (CONVOLVE && channel == p.channels) {
      channel = 0;
      ++tap_w;
    }
  }
  if constexpr (LOAD_BYTES == 1) {
#pragma unroll
    for (int i = 0; i < kRowsX; ++i)
      *reinterpret_cast<Vector16*>(tile + place(row + i * kRowsAtOnce, vector)) = bytes[i];
  }
}

// What of the result a block makes.
struct Place {
  int matrix, split, m, n;
};

DEVICE Place find_place(const ProductParams& p, int block) {
  const int tiles_m = (p.m + BLOCK_M - 1) / BLOCK_M, tiles_n = (p.n + BLOCK_N - 1) / BLOCK_N;
  const int tile = block % (tiles_m * tiles_n), part = block / (tiles_m * tiles_n);
  const int band = tile / (kRaster * tiles_n), within = tile % (kRaster * tiles_n);
  const int height = tiles_m - band * kRaster < kRaster ? tiles_m - band * kRaster : kRaster;
  return {part / p.splits, part % p.splits, (band * kRaster + within % height) * BLOCK_M, within / height * BLOCK_N};
}

DEVICE uint32_t to_bits(int sum) { return static_cast<uint32_t>(sum); }
DEVICE uint32_t to_bits(float sum) { return static_cast<uint32_t>(float_bits(sum)); }

template <class Sum>
DEVICE Sum from_bits(uint32_t bits) {
  if constexpr (__is_same(Sum, int)) {
    return static_cast<int>(bits);
  } else {
    return float_from_bits(static_cast<int32_t>(bits));
  }
}

template <class Sum>
DEVICE void clear(Sum (&sums)[kFragmentsM][kFragmentsN][4]) {
#pragma unroll
  for (int i = 0; i < kFragmentsM; ++i) {
#pragma unroll
    for (int j = 0; j < kFragmentsN; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k) sums[i][j][k] = 0;
    }
  }
}

// Leaves a block's sums for the last block of its tile, which has the sums of all of them. Whether this is the last.
template <class Sum>
DEVICE bool add_other_sums(const ProductParams& p, Sum (&sums)[kFragmentsM][kFragmentsN][4], unsigned char* shared) {
  constexpr int kSums = kFragmentsM * kFragmentsN;
  const int block = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int tiles = (p.m + BLOCK_M - 1) / BLOCK_M * ((p.n + BLOCK_N - 1) / BLOCK_N);
  const int part = block / tiles, own = part % p.splits;
  const auto place = [&](int split, int i) {
    const int64_t other = block + static_cast<int64_t>(split - own) * tiles;
    return reinterpret_cast<Vector16*>(p.partial) + (other * kSums + i) * kThreads + thread;
  };
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    const auto& v = sums[i / kFragmentsN][i % kFragmentsN];
    *place(own, i) = {{to_bits(v[0]), to_bits(v[1]), to_bits(v[2]), to_bits(v[3])}};
  }
  sync_threads();
  auto* is_last = reinterpret_cast<uint32_t*>(shared);
  if (thread == 0) {
    uint32_t* counter = p.counters + part / p.splits * tiles + block % tiles;
    *is_last = count_arrival(counter) + 1 == static_cast<uint32_t>(p.splits);
    if (*is_last) *counter = 0;
  }
  sync_threads();
  if (!*is_last) return false;
  sync_threads();
  // Which block is the last changes no exact sum; others are added from the first split on.
  constexpr bool kIsExact = __is_same(Sum, int);
  if constexpr (!kIsExact) clear(sums);
  constexpr int kAtOnce = kSums <= 4 ? 4 : 1;  // so that small tiles, of many splits, wait for several loads together
#pragma unroll 1
  for (int first = 0; first < p.splits; first += kAtOnce) {
    Vector16 v[kAtOnce][kSums] = {};
#pragma unroll
    for (int split = 0; split < kAtOnce; ++split) {
      if (first + split >= p.splits || (kIsExact && first + split == own)) continue;
#pragma unroll
      for (int i = 0; i < kSums; ++i) v[split][i] = *place(first + split, i);
    }
#pragma unroll
    for (int split = 0; split < kAtOnce; ++split) {
#pragma unroll
      for (int i = 0; i < kSums * 4; ++i) {
        auto& sum = sums[i / 4 / kFragmentsN][i / 4 % kFragmentsN][i % 4];
        sum += from_bits<Sum>(v[split][i / 4].word[i % 4]);
      }
    }
  }
  return true;
}

template <class Element>
DEVICE void multiply_block(const ProductParams& p, unsigned char* shared) {
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const Place block = find_place(p, static_cast<int>(blockIdx.x));
  const int split = block.split, m0 = block.m, n0 = block.n;
  const int first_k = static_cast<int>(static_cast<int64_t>(p.tiles_k) * split / p.splits);
  const int last_k = static_cast<int>(static_cast<int64_t>(p.tiles_k) * (split + 1) / p.splits);

  const int row = thread / kVectors, vector = thread % kVectors;
  Rows rows;
  locate(p, p.x + skip(p.batch, p.batch.src, block.matrix), rows, m0 + row, first_k * kVectors + vector);
  const int n = n0 + row < p.n ? n0 + row : p.n - 1;
  const uint8_t* weight =
      p.weight + (skip(p.batch, p.batch.weight, block.matrix) * p.n + n) * p.pitch + first_k * BLOCK_K + vector * 16;

  const auto copy_stage = [&](int stage, int k) {
    if (k < last_k) {
      unsigned char* tile = shared + stage * kStageBytes;
      copy_x(p, rows, tile, row, vector);
      advance(p, rows);
#pragma unroll
      for (int i = 0; i < kRowsWeight; ++i) {
        const int64_t below = n + i * kRowsAtOnce < p.n ? static_cast<int64_t>(i * kRowsAtOnce) * p.pitch : 0;
        copy_async<16>(tile + BLOCK_M * BLOCK_K + place(row + i * kRowsAtOnce, vector), weight + below);
      }
      weight += BLOCK_K;
    }
    commit_copies();
  };

  const int warp_m = warp / WARPS_N * kWarpM, warp_n = warp % WARPS_N * kWarpN;
  uint32_t a[2][kFragmentsM][4], b[2][kFragmentsN][2];
  const auto load_fragments = [&](int buffer, int stage, int step) {
    const unsigned char* tile = shared + stage * kStageBytes;
#pragma unroll
    for (int i = 0; i < kFragmentsM; ++i) {
      load_matrices(a[buffer][i], tile + place(warp_m + i * 16 + lane % 16, step * 2 + lane / 16));
    }
#pragma unroll
    for (int j = 0; j < kFragmentsN / 2; ++j) {
      uint32_t pair[4];
      load_matrices(
          pair, tile + BLOCK_M * BLOCK_K + place(warp_n + j * 16 + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
      b[buffer][2 * j][0] = pair[0];
      b[buffer][2 * j][1] = pair[1];
      b[buffer][2 * j + 1][0] = pair[2];
      b[buffer][2 * j + 1][1] = pair[3];
    }
  };

  typename Element::Sum sums[kFragmentsM][kFragmentsN][4];
  clear(sums);

  for (int stage = 0; stage < STAGES - 1; ++stage) copy_stage(stage, first_k + stage);
  wait_copies<STAGES - 2>();
  sync_threads();
  load_fragments(0, 0, 0);
  int stage = 0;
  for (int k = first_k; k < last_k; ++k) {
    const int next_stage = stage + 1 == STAGES ? 0 : stage + 1;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) {
        load_fragments((step + 1) % 2, stage, step + 1);
      } else {
        wait_copies<STAGES - 2>();
        sync_threads();
        load_fragments(0, next_stage, 0);
      }
      if (step == 0) copy_stage(stage == 0 ? STAGES - 1 : stage - 1, k + STAGES - 1);
#pragma unroll
      for (int i = 0; i < kFragmentsM; ++i) {
        Element::prepare(a[step % 2][i]);
#pragma unroll
        for (int j = 0; j < kFragmentsN; ++j) Element::multiply(sums[i][j], a[step % 2][i], b[step % 2][j]);
      }
    }
    stage = next_stage;
  }
  wait_copies<0>();
  sync_threads();

  if (kMaySplit && p.splits > 1 && !add_other_sums(p, sums, shared)) return;
  // What follows from these is computed here, not kept in registers through the loop.
  const Place at = find_place(p, renew(static_cast<int>(blockIdx.x)));
  const int member = renew(static_cast<int>(threadIdx.x)), member_warp = member / 32;
  const Target target = find_target(p.epilogue, p.batch, at.matrix, at.m, p.m, at.n);
  store_tile<BLOCK_M, BLOCK_N, kThreads>(p.epilogue, sums, shared, member, member_warp / WARPS_N * kWarpM,
                                         member_warp % WARPS_N * kWarpN, target, [] { sync_threads(); });
}

}  // namespace
