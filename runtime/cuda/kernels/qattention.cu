// The family kernels/qattention of the CPU: attention of bytes on tensor cores. A warp has 16 queries of a head, a
// block 64 columns of the results; tiles of 32 keys pass by in shared memory. Weights are rounded in relation to the
// largest score of all keys: with KEPT above 0, there are so many tiles at most, whose scores wait in registers; with
// KEPT 0, keys pass twice, and scores are made again. Any width goes: in chunks of 128 bytes where it is larger. Grid:
// images * windows * heads * parts of columns * blocks of queries; one to four warps. Shared memory, with `depth` the
// width in multiples of 32, 32 at least, and 128 at most: (queries * (d > 128 ? 2 : 1) + 64) * (depth + 16) + 64 * 80
// + (lk > 2^15 ? 16384 : 0) bytes.
#include "head_rows.cuh"
#include "kernels/qattention/qattention.h"
#include "kernels/vec/exp_bytes.h"
#include "score_mask.cuh"

using namespace rushlight;

struct QAttentionCall {
  const uint8_t* q;
  const uint8_t* k;
  const uint8_t* v;
  const void* mask;
  const float* bias;
  const int64_t* rows;
  uint8_t* out;
  QAttentionParams p;
};

namespace {

constexpr int kMostThreads = 128;
constexpr int kTileKeys = 32, kTileColumns = 64, kMostDepth = 128;
constexpr int kFragments = kTileKeys / 8, kSums = kTileColumns / 8;
// Rows in shared memory are an odd number of 16 bytes long: eight of them lie in different banks.
constexpr int kPad = 16, kValuePitch = kTileColumns + kPad;
constexpr int kBlockTiles = (1 << 15) / kTileKeys;  // over which sums of products of two bytes fit int32
constexpr uint32_t kOnes = 0x01010101u;
constexpr float kMinusInfinity = -__builtin_inff();
constexpr float kRounding = 0x1.8p23f;  // added to a number below 2^22, leaves it rounded in the lowest bits
constexpr int kRoundingBits = 0x4B400000;

// A score's weight, in the lowest byte.
DEVICE uint32_t weigh(float score, float peak) {
  const V power = exp2_in_255ths((V{score} - V{peak}) * V{kLog2E});
  return static_cast<uint32_t>(float_bits(power.lane + kRounding));
}

DEVICE uint32_t join_bytes(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return select_bytes(select_bytes(a, b, 0x0040), select_bytes(c, d, 0x0040), 0x5410);
}

// How differences of bytes are sums of bytes: factor * (q - zero_point) = q with the bits of `flip` changed, taken as a
// signed byte, + rest.
struct Sign {
  uint32_t flip, rest;
  int factor;
};
DEVICE Sign sign_of(int64_t zero_point) {
  if (zero_point == 0) return {0x7F7F7F7Fu, 0x81818181u, -1};
  return {0x80808080u, kOnes * (static_cast<uint32_t>(128 - zero_point) & 0xFFu), 1};
}

// What a block computes, and where its tiles lie in shared memory.
struct Block {
  uint32_t image, window, head, kv_head;
  int first, column, keys;  // the first query and column; the keys that any of the queries sees
  int queries, tiles, chunks, depth, pitch;
  unsigned char *q, *k, *v;

  DEVICE Block(const QAttentionCall& call, unsigned char* shared) {
    const QAttentionParams& p = call.p;
    queries = static_cast<int>(blockDim.x) / 2;
    const uint32_t blocks = static_cast<uint32_t>((p.lq + queries - 1) / queries);
    const uint32_t parts = static_cast<uint32_t>((p.dv + kTileColumns - 1) / kTileColumns);
    const uint32_t heads = static_cast<uint32_t>(p.q_heads), windows = static_cast<uint32_t>(p.windows);
    uint32_t index = blockIdx.x;
    first = static_cast<int>(index % blocks) * queries;
    index /= blocks;
    column = static_cast<int>(index % parts) * kTileColumns;
    index /= parts;
    head = index % heads;
    index /= heads;
    window = index % windows;
    image = index / windows;
    kv_head = head / (heads / static_cast<uint32_t>(p.kv_heads));
    keys = p.is_causal && first + queries < p.lk ? first + queries : static_cast<int>(p.lk);
    tiles = (keys + kTileKeys - 1) / kTileKeys;
    depth = p.d > kMostDepth ? kMostDepth : p.d <= 32 ? 32 : static_cast<int>(p.d + 31) / 32 * 32;
    chunks = p.d > kMostDepth ? static_cast<int>((p.d + kMostDepth - 1) / kMostDepth) : 1;
    pitch = depth + kPad;
    q = shared;
    k = q + queries * (chunks > 1 ? 2 : 1) * pitch;
    v = k + 2 * kTileKeys * pitch;
  }

  DEVICE HeadRows rows(const QAttentionCall& call, const uint8_t* base, const int64_t (&stride)[3], uint32_t head,
                       int limit, int64_t width) const {
    const int own = renew(static_cast<int>(image));  // addresses are not kept in registers
    return {base + own * stride[0] + head * stride[1], stride[2],
            call.rows != nullptr ? call.rows + window * call.p.lq : nullptr, limit, static_cast<int>(width)};
  }
};

// The copies of a block's tiles, one after the other: the chunks of a tile of keys; queries with the first one, and
// with all where they have several chunks; values with a tile's first chunk where weights are to be made.
struct Copies {
  int passes, tile = 0, chunk = 0, buffer = 0;
  bool is_first = true;

  DEVICE void start_next(const QAttentionCall& call, const Block& b) {
    const QAttentionParams& p = call.p;
    if (passes > 0) {
      const int key = tile * kTileKeys, column = chunk * b.depth, vectors = b.depth / 16;
#pragma unroll 1
      for (int part = 0; part < 3; ++part) {
        if (part == 0) {
          copy_rows(b.rows(call, call.k, p.k_stride, b.kv_head, b.keys, p.d),
                    {b.k + buffer * kTileKeys * b.pitch, b.pitch, key, column, kTileKeys, vectors});
        } else if (part == 1 && (is_first || b.chunks > 1)) {
          const int place = b.chunks > 1 ? buffer : 0;
          copy_rows(b.rows(call, call.q, p.q_stride, b.head, static_cast<int>(p.lq), p.d),
                    {b.q + place * b.queries * b.pitch, b.pitch, b.first, column, b.queries, vectors});
        } else if (part == 2 && passes == 1 && chunk == 0) {
          copy_rows(
              b.rows(call, call.v, p.v_stride, b.kv_head, b.keys, p.dv),
              {b.v + tile % 2 * kTileKeys * kValuePitch, kValuePitch, key, b.column, kTileKeys, kTileColumns / 16});
        }
      }
      is_first = false;
      if (++chunk == b.chunks) {
        chunk = 0;
        if (++tile == b.tiles) {
          tile = 0;
          --passes;
        }
      }
    }
    commit_copies();
    buffer ^= 1;
  }
};

}  // namespace

KERNEL(qattention, kMostThreads, 4, QAttentionCall) {
  SHARED_MEMORY(shared);
  const QAttentionParams& a = p.p;
  const Block block(p, shared);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32, t = lane % 4;
  const int row = block.first + warp * 16 + lane / 4;  // the lane's other one is row + 8
  const bool is_busy = block.first + warp * 16 < a.lq;
  const uint32_t ones[2] = {kOnes, kOnes};
  const Sign sign = sign_of(a.q_zero_point);
  const float score_scale = static_cast<float>(sign.factor) * a.score_scale;
  const bool is_narrow = a.d <= 64;  // products are below 2^22, and become floats by an addition

  Copies copies{block.tiles == 0 ? 0 : KEPT > 0 ? 1 : 2};
  copies.start_next(p, block);

  // The products of the next tile, which become its scores: see score_mask.cuh.
  int query_terms[2] = {0, 0};  // what k_zero_point takes from the products with each row
  int buffer = 0;
  const auto score_tile = [&](int tile, bool is_first, float (&score)[kFragments][4]) {
    const int key = tile * kTileKeys, left = block.keys - key;
    int products[kFragments][4], query_sums[4] = {0, 0, 0, 0};
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
#pragma unroll
      for (int i = 0; i < 4; ++i) products[f][i] = query_terms[i / 2] + (is_narrow ? kRoundingBits : 0);
    }
    for (int chunk = 0; chunk < block.chunks; ++chunk) {
      wait_copies<0>();
      sync_threads();
      copies.start_next(p, block);
      const int width = static_cast<int>(a.d) - chunk * block.depth;
      const int steps = !is_busy ? 0 : (width < block.depth ? width + 31 : block.depth) / 32;
      const unsigned char* queries =
          block.q + ((block.chunks > 1 ? buffer * block.queries : 0) + warp * 16 + lane % 16) * block.pitch +
          lane / 16 * 16;
      const unsigned char* keys =
          block.k + (buffer * kTileKeys + lane % 8 + lane / 16 * 8) * block.pitch + lane / 8 % 2 * 16;
#pragma unroll 1
      for (int step = 0; step < steps; ++step, queries += 32, keys += 32) {
        uint32_t bytes[4];
        load_matrices(bytes, queries);
        if (is_first) multiply_u8u8(query_sums, bytes, ones);
#pragma unroll
        for (uint32_t& word : bytes) word ^= sign.flip;
        const uint32_t rest[4] = {sign.rest, sign.rest, sign.rest, sign.rest};
#pragma unroll
        for (int f = 0; f < kFragments; f += 2) {
          if (f * 8 < left) {
            uint32_t pair[4];
            load_matrices(pair, keys + f * 8 * block.pitch);
#pragma unroll
            for (int i = 0; i < 2; ++i) {
              const uint32_t key_bytes[2] = {pair[2 * i], pair[2 * i + 1]};
              multiply_s8u8(products[f + i], bytes, key_bytes);
              multiply_s8u8(products[f + i], rest, key_bytes);
            }
          }
        }
      }
      buffer ^= 1;
    }
    if (!is_busy) return;
    if (is_first) {
      const int zero = static_cast<int>(a.d * a.q_zero_point), factor = sign.factor * static_cast<int>(-a.k_zero_point);
#pragma unroll
      for (int r = 0; r < 2; ++r) query_terms[r] = factor * (query_sums[2 * r] - zero);
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
#pragma unroll
        for (int i = 0; i < 4; ++i) products[f][i] += query_terms[i / 2];
      }
    }
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float product =
            is_narrow ? float_from_bits(products[f][i]) - kRounding : static_cast<float>(products[f][i]);
        score[f][i] = product * score_scale;
      }
    }
    const int last = static_cast<int>(a.lq) - 1, own = renew(row);  // addresses are not kept in registers
    const int first = own < last ? own : last, second = own + 8 < last ? own + 8 : last;
    if (p.bias != nullptr) {
      score_operand(p.bias + block.head * a.bias_stride[0], first, second, a.bias_stride[1], key + 2 * t, 1, block.keys)
          .visit(score, [](float& s, float bias) { s += bias; });
    }
    if (p.mask != nullptr) {
      const int64_t (&stride)[5] = a.mask_stride;
      const int64_t at = block.image * stride[0] + block.window * stride[1] + block.head * stride[2];
      if (a.mask_is_bool) {
        score_operand(static_cast<const uint8_t*>(p.mask) + at, first, second, stride[3], key + 2 * t, stride[4],
                      block.keys)
            .visit(score, [](float& s, uint8_t is_seen) { s = is_seen ? s : kMinusInfinity; });
      } else {
        score_operand(static_cast<const float*>(p.mask) + at, first, second, stride[3], key + 2 * t, stride[4],
                      block.keys)
            .visit(score, [](float& s, float mask) { s += mask; });
      }
    }
    if (left < kTileKeys || a.is_causal) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int seen = a.is_causal && row + i / 2 * 8 < block.keys ? row + i / 2 * 8 + 1 : block.keys;
        const int count = seen - key - 2 * t - i % 2;
#pragma unroll
        for (int f = 0; f < kFragments; ++f) score[f][i] = f * 8 < count ? score[f][i] : kMinusInfinity;
      }
    }
  };

  // The largest scores, which leave NaN out.
  float peak[2] = {kMinusInfinity, kMinusInfinity};
  const auto find_peaks = [&](const float (&score)[kFragments][4]) {
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
#pragma unroll
      for (int i = 0; i < 4; ++i) peak[i / 2] = maximum(score[f][i], peak[i / 2]);
    }
  };
  const auto share_peaks = [&] {
#pragma unroll
    for (float& largest : peak) {
      largest = maximum(largest, shuffle(largest, lane ^ 1));
      largest = maximum(largest, shuffle(largest, lane ^ 2));
      if (largest == kMinusInfinity) largest = 0.0f;
    }
  };

  // Sums of weighted values: pairs of fragments have the even and the odd ones of 16 columns.
  const int columns = a.dv - block.column < kTileColumns ? static_cast<int>(a.dv - block.column) : kTileColumns;
  int sums[kSums][4], weights[4] = {0, 0, 0, 0};
  int64_t total[2] = {0, 0};
#pragma unroll
  for (int f = 0; f < kSums; ++f) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[f][i] = 0;
  }
  const auto add_values = [&](int tile, const float (&score)[kFragments][4]) {
    const unsigned char* values = block.v + (tile % 2 * kTileKeys + lane) * kValuePitch;
    const int left = block.keys - tile * kTileKeys;
#pragma unroll
    for (int half = 0; half < kFragments; half += 4, values += 32 * kValuePitch) {
      if (half * 8 < left) {
        // Bytes of a step are keys in the order in which the lanes have them; the values come in the same one.
        uint32_t bytes[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int f = half + i / 2 * 2, r = i % 2;
          bytes[i] = join_bytes(weigh(score[f][2 * r], peak[r]), weigh(score[f][2 * r + 1], peak[r]),
                                weigh(score[f + 1][2 * r], peak[r]), weigh(score[f + 1][2 * r + 1], peak[r]));
        }
        multiply_u8u8(weights, bytes, ones);
#pragma unroll
        for (int f = 0; f < kSums; f += 2) {
          if (f * 8 < columns) {
            uint32_t x[4];
            load_matrices_transposed(x, values + f * 8);
            const uint32_t even[2] = {select_bytes(x[0], x[1], 0x6420), select_bytes(x[2], x[3], 0x6420)};
            const uint32_t odd[2] = {select_bytes(x[0], x[1], 0x7531), select_bytes(x[2], x[3], 0x7531)};
            multiply_u8u8(sums[f], bytes, even);
            multiply_u8u8(sums[f + 1], bytes, odd);
          }
        }
      }
    }
  };
  // The sums of a block of keys as floats, added to those of the blocks before.
  float* const held = reinterpret_cast<float*>(block.v + 2 * kTileKeys * kValuePitch) + thread;
  const auto sum_of = [&](int f, int i, bool is_first) {
    const float sum = static_cast<float>(sums[f][i] - static_cast<int>(a.v_zero_point) * weights[i / 2 * 2]);
    return is_first ? sum : held[(f * 4 + i) * kMostThreads] + sum;
  };

  if constexpr (KEPT > 0) {
    float score[KEPT > 0 ? KEPT : 1][kFragments][4];
#pragma unroll
    for (int tile = 0; tile < KEPT; ++tile) {
      if (tile < block.tiles) {
        score_tile(tile, tile == 0, score[tile]);
        if (is_busy) find_peaks(score[tile]);
      }
    }
    if (is_busy) {
      share_peaks();
#pragma unroll
      for (int tile = 0; tile < KEPT; ++tile) {
        if (tile < block.tiles) add_values(tile, score[tile]);
      }
    }
  } else {
#pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
#pragma unroll 1
      for (int tile = 0; tile < block.tiles; ++tile) {
        float score[kFragments][4];
        score_tile(tile, pass == 0 && tile == 0, score);
        if (!is_busy) continue;
        if (pass == 0) {
          find_peaks(score);
          continue;
        }
        add_values(tile, score);
        if ((tile + 1) % kBlockTiles == 0 && tile + 1 < block.tiles) {
#pragma unroll
          for (int f = 0; f < kSums; ++f) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              held[(f * 4 + i) * kMostThreads] = sum_of(f, i, tile < kBlockTiles);
              sums[f][i] = 0;
            }
          }
          total[0] += weights[0];
          total[1] += weights[2];
          weights[0] = weights[2] = 0;
        }
      }
      if (pass == 0 && is_busy) share_peaks();
    }
  }
  wait_copies<0>();
  if (!is_busy) return;

  const V offset{a.offset}, low{static_cast<float>(a.qmin)}, high{static_cast<float>(a.qmax)};
  const HeadRows out = block.rows(p, p.out, a.out_stride, block.head, static_cast<int>(a.lq), a.dv);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    if (row + r * 8 >= a.lq) continue;
    total[r] += weights[2 * r];
    const V factor{a.scale / static_cast<float>(total[r] == 0 ? 1 : total[r])};
    uint8_t* const to = const_cast<uint8_t*>(out.row(row + r * 8)) + block.column;
#pragma unroll
    for (int f = 0; f < kSums; f += 2) {
      uint32_t bytes[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const V sum{sum_of(f + i % 2, 2 * r + i / 2, KEPT > 0 || block.tiles <= kBlockTiles)};
        bytes[i] = static_cast<uint32_t>(round_int(min(max(fma(sum, factor, offset), low), high)).lane);
      }
      const int at = f * 8 + t * 4;
      if (at + 4 <= columns && reinterpret_cast<uintptr_t>(to + at) % 4 == 0) {
        *reinterpret_cast<uint32_t*>(to + at) = join_bytes(bytes[0], bytes[1], bytes[2], bytes[3]);
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (at + i < columns) to[at + i] = static_cast<uint8_t>(bytes[i]);
        }
      }
    }
  }
}
