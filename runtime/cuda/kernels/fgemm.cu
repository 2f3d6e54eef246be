// Float matrix product and convolution. Every result is one chain of fused multiply-adds, started at the bias, over
// taps (kh, kw) and channels c:
//
//   v[m, o] += x[image, ih, iw, c] * weight[o, kh, kw, c],  m = (image, oh, ow),
//   ih = oh * stride_h - padding_h + kh * dilation_h, likewise iw; outside of the image x is zero,
//
// then the epilogue, for every matrix of a batch. Chosen when compiled:
//   BLOCK_M, BLOCK_N, BLOCK_K   tile of a block
//   THREAD_M, THREAD_N          tile of a thread: rows BLOCK_M / THREAD_M apart, columns in vectors of at most four
//   STAGES                      depth of the cp.async pipeline
//   LOAD                        1 or 4 floats in a copy of x: divides channels and steps of x; 4: x is 16-byte aligned
//   WEIGHT                      32, or 16 for IEEE halves, 17 for bfloat16
// Grid: (tiles * matrices); threads and bytes of shared memory: kThreads, STAGES * kStageBytes.
#include "epilogue.cuh"
#include "window.cuh"

struct FgemmParams {
  const float* x;
  const void* weight;  // [matrices, depth, pitch]
  Epilogue epilogue;
  Batch batch;
  Steps steps;
  int32_t m;
  int32_t n;
  int32_t pitch;     // n rounded up to a multiple of 16
  int32_t depth;     // taps * channels
  int32_t channels;  // at least 1
  Window window;
};

namespace {

constexpr int kThreadsM = BLOCK_M / THREAD_M, kThreadsN = BLOCK_N / THREAD_N, kThreads = kThreadsM * kThreadsN;
constexpr int kVector = THREAD_N < 4 ? THREAD_N : 4, kVectors = THREAD_N / kVector;
constexpr int kThreadsARow = kThreads / BLOCK_M, kRun = BLOCK_K / kThreadsARow;  // of a row of x that a thread copies
constexpr int kPitchX = BLOCK_K + 4;                                             // spreads rows over the banks
constexpr int kWeightBytes = WEIGHT == 32 ? 4 : 2, kColumnsACopy = 16 / kWeightBytes;
constexpr int kCopiesARow = BLOCK_N / kColumnsACopy, kRowsAtOnce = kThreads / kCopiesARow;
constexpr int kTileX = BLOCK_M * kPitchX * 4, kStageBytes = kTileX + BLOCK_K * BLOCK_N * kWeightBytes;
constexpr int kRaster = 8;                      // tile rows that are worked on together, so that L2 keeps their weights
constexpr int kBlocks = THREAD_M == 8 ? 3 : 4;  // of a multiprocessor, at least
constexpr uint32_t kMinusZero = WEIGHT == 32 ? 0x80000000 : 0x80008000;

static_assert(kThreadsM % 4 == 0 && kThreadsN % 8 == 0 && kRun % 4 == 0 && BLOCK_K % kRowsAtOnce == 0);

// What stands at a place of the depth.
struct Tap {
  int channel, h, w;
};

DEVICE void advance(const FgemmParams& p, Tap& tap, int channels) {
  tap.channel += channels;
  while (tap.channel >= p.channels) {
    tap.channel -= p.channels;
    if (++tap.w < p.window.kernel_width) continue;
    tap.w = 0;
    ++tap.h;
  }
}

struct alignas(8) Halves4 {
  uint32_t word[2];
};

DEVICE float widen(uint32_t half) {
  return WEIGHT == 17 ? float_from_bits(static_cast<int32_t>(half << 16)) : half_to_float(static_cast<uint16_t>(half));
}

// kVector weights side by side.
DEVICE void load_weights(float* out, const unsigned char* at) {
  if constexpr (WEIGHT == 32) {
    if constexpr (kVector == 4) {
      const Vector16 v = *reinterpret_cast<const Vector16*>(at);
#pragma unroll
      for (int i = 0; i < 4; ++i) out[i] = float_from_bits(static_cast<int32_t>(v.word[i]));
    } else {
      const Pair v = *reinterpret_cast<const Pair*>(at);
      out[0] = v.left;
      out[1] = v.right;
    }
  } else if constexpr (kVector == 4) {
    const Halves4 v = *reinterpret_cast<const Halves4*>(at);
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = widen(v.word[i / 2] >> i % 2 * 16);
  } else {
    const uint32_t v = *reinterpret_cast<const uint32_t*>(at);
    out[0] = widen(v);
    out[1] = widen(v >> 16);
  }
}

// What of the result a block makes.
struct Place {
  int matrix, m, n;
};

DEVICE Place find_place(const FgemmParams& p, int block) {
  const int tiles_m = (p.m + BLOCK_M - 1) / BLOCK_M, tiles_n = (p.n + BLOCK_N - 1) / BLOCK_N;
  const int tile = block % (tiles_m * tiles_n), matrix = block / (tiles_m * tiles_n);
  const int band = tile / (kRaster * tiles_n), within = tile % (kRaster * tiles_n);
  const int height = tiles_m - band * kRaster < kRaster ? tiles_m - band * kRaster : kRaster;
  return {matrix, (band * kRaster + within % height) * BLOCK_M, within / height * BLOCK_N};
}

}  // namespace

KERNEL(fgemm, kThreads, kBlocks, FgemmParams) {
  SHARED_MEMORY(shared);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const Place block = find_place(p, static_cast<int>(blockIdx.x));
  const int matrix = block.matrix, m0 = block.m, n0 = block.n;

  // Each thread copies a part of one row of x and the same columns of several rows of the weights.
  const int x_row = thread / kThreadsARow, x_part = thread % kThreadsARow * kRun;
  const int m = m0 + x_row < p.m ? m0 + x_row : p.m - 1;
  const int ow = m % p.window.out_width, oh = m / p.window.out_width % p.window.out_height,
            image = m / p.window.out_width / p.window.out_height;
  const int top = oh * p.window.stride_h - p.window.padding_h, left = ow * p.window.stride_w - p.window.padding_w;
  const float* x =
      p.x + skip(p.batch, p.batch.src, matrix) + image * p.steps.image + top * p.steps.row + left * p.steps.pixel;
  Tap tap = {0, 0, 0};
  advance(p, tap, x_part);
  const int weight_row = thread / kCopiesARow, weight_column = thread % kCopiesARow * kColumnsACopy;
  const bool is_column = n0 + weight_column < p.pitch;
  const unsigned char* weight =
      static_cast<const unsigned char*>(p.weight) +
      (skip(p.batch, p.batch.weight, matrix) * p.depth * p.pitch + n0 + weight_column) * kWeightBytes;

  // Products beyond the depth are zero times minus zero, which change no sum.
  const auto copy_stage = [&](int stage, int k0) {
    unsigned char* tile_x = shared + stage * kStageBytes;
    float* dst = reinterpret_cast<float*>(tile_x) + x_row * kPitchX + x_part;
#pragma unroll
    for (int i = 0; i < kRun; i += LOAD) {
      const int ih = top + tap.h * p.window.dilation_h, iw = left + tap.w * p.window.dilation_w;
      const bool inside = k0 + x_part + i < p.depth &&
                          static_cast<uint32_t>(ih) < static_cast<uint32_t>(p.window.height) &&
                          static_cast<uint32_t>(iw) < static_cast<uint32_t>(p.window.width);
      const float* src = x + tap.h * p.steps.tap_h + tap.w * p.steps.tap_w + tap.channel;
      copy_async_or_zero<LOAD * 4>(dst + i, inside ? src : p.x, inside);
      advance(p, tap, LOAD);
    }
    advance(p, tap, BLOCK_K - kRun);
#pragma unroll
    for (int i = 0; i < BLOCK_K; i += kRowsAtOnce) {
      const int k = k0 + weight_row + i;
      unsigned char* to = tile_x + kTileX + ((weight_row + i) * BLOCK_N + weight_column) * kWeightBytes;
      if (k < p.depth) {
        const unsigned char* from = weight + static_cast<int64_t>(k) * p.pitch * kWeightBytes;
        copy_async_or_zero<16>(to, is_column ? from : p.weight, is_column);
      } else {
        *reinterpret_cast<Vector16*>(to) = {{kMinusZero, kMinusZero, kMinusZero, kMinusZero}};
      }
    }
  };

  constexpr int kWarpsN = kThreadsN / 8;
  const int row = warp / kWarpsN * 4 + lane / 8, column = (warp % kWarpsN * 8 + lane % 8) * kVector;
  const int64_t first_bias = skip(p.batch, p.batch.bias, matrix) + n0;
  float sums[THREAD_M][THREAD_N];
#pragma unroll
  for (int j = 0; j < THREAD_N; ++j) {
    const int c = column + j / kVector * (BLOCK_N / kVectors) + j % kVector;
    const bool has_bias = p.epilogue.bias != nullptr && n0 + c < p.n;
    const float start = has_bias ? flush(p.epilogue.bias[first_bias + c]) : 0.0f;
#pragma unroll
    for (int i = 0; i < THREAD_M; ++i) sums[i][j] = start;
  }

  for (int stage = 0; stage < STAGES - 1; ++stage) {
    if (stage * BLOCK_K < p.depth) copy_stage(stage, stage * BLOCK_K);
    commit_copies();
  }
  int stage = 0;
  for (int k0 = 0; k0 < p.depth; k0 += BLOCK_K) {
    wait_copies<STAGES - 2>();
    sync_threads();
    const int next = k0 + (STAGES - 1) * BLOCK_K;
    if (next < p.depth) copy_stage(stage == 0 ? STAGES - 1 : stage - 1, next);
    commit_copies();
    const unsigned char* tile_x = shared + stage * kStageBytes;
    const unsigned char* tile_weight = tile_x + kTileX + column * kWeightBytes;
#pragma unroll
    for (int k = 0; k < BLOCK_K; k += 2) {
      Pair left_rows[THREAD_M];
#pragma unroll
      for (int i = 0; i < THREAD_M; ++i) {
        left_rows[i] = *reinterpret_cast<const Pair*>(tile_x + ((row + i * kThreadsM) * kPitchX + k) * 4);
      }
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        float right[THREAD_N];
#pragma unroll
        for (int j = 0; j < kVectors; ++j) {
          const int at = (k + step) * BLOCK_N + j * (BLOCK_N / kVectors);
          load_weights(right + j * kVector, tile_weight + at * kWeightBytes);
        }
#pragma unroll
        for (int i = 0; i < THREAD_M; ++i) {
          const float value = step == 0 ? left_rows[i].left : left_rows[i].right;
#pragma unroll
          for (int j = 0; j < THREAD_N; ++j) sums[i][j] = multiply_add(value, right[j], sums[i][j]);
        }
      }
    }
    stage = stage + 1 == STAGES ? 0 : stage + 1;
  }
  wait_copies<0>();

  // What follows from this is computed here, not kept in registers through the loop.
  const Place at = find_place(p, renew(static_cast<int>(blockIdx.x)));
  const Epilogue& e = p.epilogue;
  const Target target = find_target(e, p.batch, at.matrix, at.m, p.m, at.n);
  float* out = static_cast<float*>(e.out) + target.out;
  const float* residual = residual_floats(e) + target.residual;
  const bool is_aligned = reinterpret_cast<uintptr_t>(out) % 16 == 0 && e.out_row % 4 == 0;
#pragma unroll
  for (int i = 0; i < THREAD_M; ++i) {
    const int r = row + i * kThreadsM;
    if (r >= target.rows) break;
#pragma unroll
    for (int j = 0; j < kVectors; ++j) {
      const int c = column + j * (BLOCK_N / kVectors);
      float* v = sums[i] + j * kVector;
#pragma unroll
      for (int l = 0; l < kVector; ++l) {
        if (e.residual != nullptr && c + l < target.columns) v[l] += residual[r * e.residual_row + c + l];
        v[l] = limit(e, v[l]);
      }
      float* to = out + r * e.out_row + c;
      if (kVector == 4 && is_aligned && c + 4 <= target.columns) {
        Vector16 whole;
#pragma unroll
        for (int l = 0; l < kVector; ++l) whole.word[l] = static_cast<uint32_t>(float_bits(v[l]));
        *reinterpret_cast<Vector16*>(to) = whole;
      } else {
#pragma unroll
        for (int l = 0; l < kVector; ++l) {
          if (c + l < target.columns) to[l] = v[l];
        }
      }
    }
  }
  if (!has_curve(e)) return;
  // What this thread stored, from memory again: so the kernel has the curves' code once, not once an element.
#pragma unroll 1
  for (int index = 0; index < THREAD_M * THREAD_N; ++index) {
    const int r = row + index / THREAD_N * kThreadsM;
    const int c = column + index % THREAD_N / kVector * (BLOCK_N / kVectors) + index % kVector;
    if (r >= target.rows || c >= target.columns) continue;
    float* to = out + r * e.out_row + c;
    *to = apply_curve(e, *to);
  }
}
