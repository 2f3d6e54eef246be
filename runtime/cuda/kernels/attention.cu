// The family kernels/attention of the CPU: a block takes QUERIES queries of one head, all of whose scores it keeps, in
// shared memory or in memory of its own (`scores`), since weights need the largest one first. Products are tiles of
// QUERIES x 64, 16 elements a thread, 32 steps of depth at a time. With TF32 tensor cores make them, of operands
// rounded to TF32: queries and keys, weights e and values. Grid: any number of blocks of 4 * QUERIES threads.
#include "device.cuh"
#include "kernels/attention/functions.h"
#include "reduction.cuh"

struct AttentionCall {
  const float* q;
  const float* k;
  const float* v;
  const void* mask;
  const float* bias;
  const int64_t* rows;
  float* out;
  float* scores;  // [blocks, QUERIES, pitch], or absent
  int64_t pitch;
  AttentionParams p;
};

namespace {

constexpr int kThreads = 4 * QUERIES, kColumns = 64, kDepth = 32, kCausalBlock = 64;
constexpr int kGap = TF32 ? 8 : 4;  // so that four steps of depth, or four threads' rows, lie in different banks
constexpr int kLeftPitch = QUERIES + kGap, kRightPitch = kColumns + kGap;
// Of a warp's part of a tile in TF32: all rows, some columns, in fragments of 16 x 8.
constexpr int kWarpColumns = kColumns / (kThreads / 32), kFragmentsN = kWarpColumns / 8, kFragmentsM = QUERIES / 16;

static_assert(kFragmentsM * kFragmentsN == 4);
static_assert(kCausalBlock % QUERIES == 0, "queries of a block see the same keys but for their masks");

struct alignas(16) Quad {
  float lane[4];
};

struct Larger {
  DEVICE V operator()(V a, V b) const { return max(a, b); }
};

// What a block works on.
struct Part {
  int64_t image, window, head, kv_head, first;
  int queries, keys;

  DEVICE Part(const AttentionParams& p, int64_t index) {
    const int64_t blocks = (p.lq + QUERIES - 1) / QUERIES, heads = index / blocks;
    first = (index - heads * blocks) * QUERIES;
    head = heads % p.q_heads;
    kv_head = head / (p.q_heads / p.kv_heads);
    window = heads / p.q_heads % p.windows;
    image = heads / p.q_heads / p.windows;
    queries = p.lq - first < QUERIES ? static_cast<int>(p.lq - first) : QUERIES;
    const int64_t limit = p.is_causal ? first / kCausalBlock * kCausalBlock + kCausalBlock : p.lk;
    keys = static_cast<int>(limit < p.lk ? limit : p.lk);
  }
};

// Rows of one head: row i lies at base + at(i).
struct Rows {
  int64_t base, stride;
  const int64_t* numbers;

  DEVICE Rows(const int64_t (&strides)[3], const AttentionCall& p, const Part& part, int64_t head)
      : base(part.image * strides[0] + head * strides[1]),
        stride(strides[2]),
        numbers(p.rows ? p.rows + part.window * p.p.lq : nullptr) {}

  DEVICE int64_t at(int64_t i) const { return base + (numbers ? numbers[i] : i) * stride; }
};

// Calls visit(row, column, a, b) for neighbouring elements of a thread's sums in a tile.
template <class Visit>
DEVICE void for_each_pair(const float (&sum)[4][4], Visit visit) {
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; j += 2) {
      if (TF32) {
        visit(i / kFragmentsN * 16 + lane / 4 + j / 2 * 8, warp * kWarpColumns + i % kFragmentsN * 8 + lane % 4 * 2,
              sum[i][j], sum[i][j + 1]);
      } else {
        visit(thread / 16 * 4 + i, thread % 16 * 4 + j, sum[i][j], sum[i][j + 1]);
      }
    }
  }
}

// Adds eight steps of depth to the sums of a warp; `right` is its part of the columns. See multiply_tf32.
DEVICE void multiply_on_tensor_cores(float (&sum)[4][4], const float* left, const float* right) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const auto load = [](const float* from) { return round_to_tf32(static_cast<uint32_t>(float_bits(*from))); };
  uint32_t b[kFragmentsN][2];
#pragma unroll
  for (int n = 0; n < kFragmentsN; ++n) {
    b[n][0] = load(right + t * kRightPitch + n * 8 + g);
    b[n][1] = load(right + (t + 4) * kRightPitch + n * 8 + g);
  }
#pragma unroll
  for (int m = 0; m < kFragmentsM; ++m) {
    const float* from = left + m * 16 + g;
    const uint32_t a[4] = {load(from + t * kLeftPitch), load(from + t * kLeftPitch + 8),
                           load(from + (t + 4) * kLeftPitch), load(from + (t + 4) * kLeftPitch + 8)};
#pragma unroll
    for (int n = 0; n < kFragmentsN; ++n) multiply_tf32(sum[m * kFragmentsN + n], a, b[n]);
  }
}

// Adds to sum the products over t in [0, depth) of left(row, t) * right(column, t) for a thread's elements of a tile:
// one chain each, but in TF32. RightIsTurned: neighbouring t lie side by side in memory, not neighbouring columns.
template <bool RightIsTurned, class Left, class Right>
DEVICE void multiply(float (&sum)[4][4], int depth, float* staging, Left left, Right right) {
  constexpr int kLeftLoads = QUERIES * kDepth / kThreads, kRightLoads = kColumns * kDepth / kThreads;
  const int thread = static_cast<int>(threadIdx.x);
  float *const lefts = staging, *const rights = staging + kDepth * kLeftPitch;
  const auto step = [&](int t) {
    const Quad a = *reinterpret_cast<const Quad*>(lefts + t * kLeftPitch + thread / 16 * 4);
    const Quad b = *reinterpret_cast<const Quad*>(rights + t * kRightPitch + thread % 16 * 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[i][j] = multiply_add(a.lane[i], b.lane[j], sum[i][j]);
    }
  };
  for (int start = 0; start < depth; start += kDepth) {
    const int count = depth - start < kDepth ? depth - start : kDepth;
    sync_threads();
#pragma unroll 4
    for (int n = 0; n < kRightLoads; ++n) {
      const int i = thread + n * kThreads;
      const int t = RightIsTurned ? i % kDepth : i / kColumns, column = RightIsTurned ? i / kDepth : i % kColumns;
      const float* from = t < count ? right(column, start + t) : nullptr;
      if (from) copy_async<4>(rights + t * kRightPitch + column, from);
      if (TF32 && t >= count) rights[t * kRightPitch + column] = 0.0f;
    }
    commit_copies();
    float a[kLeftLoads];
#pragma unroll
    for (int n = 0; n < kLeftLoads; ++n) {
      const int i = thread + n * kThreads, t = i % kDepth;
      a[n] = t < count ? left(i / kDepth, start + t) : 0.0f;
    }
#pragma unroll
    for (int n = 0; n < kLeftLoads; ++n) {
      const int i = thread + n * kThreads;
      lefts[i % kDepth * kLeftPitch + i / kDepth] = a[n];
    }
    wait_copies<0>();
    sync_threads();
    if (TF32) {
#pragma unroll
      for (int t = 0; t < kDepth; t += 8) {
        multiply_on_tensor_cores(sum, lefts + t * kLeftPitch, rights + t * kRightPitch + thread / 32 * kWarpColumns);
      }
    } else if (count == kDepth) {
#pragma unroll 8
      for (int t = 0; t < kDepth; ++t) step(t);
    } else {
      for (int t = 0; t < count; ++t) step(t);
    }
  }
}

DEVICE void score_keys(const AttentionCall& p, const Part& part, float* scores, float* staging) {
  const Rows q(p.p.q_stride, p, part, part.head), k(p.p.k_stride, p, part, part.kv_head);
  for (int first = 0; first < part.keys; first += kColumns) {
    float sum[4][4] = {};
    multiply<true>(
        sum, static_cast<int>(p.p.d), staging,
        [&](int i, int t) { return i < part.queries ? p.q[q.at(part.first + i) + t] : 0.0f; },
        [&](int j, int t) { return first + j < part.keys ? p.k + k.at(first + j) + t : nullptr; });
    for_each_pair(sum, [&](int row, int column, float left, float right) {
      *reinterpret_cast<Pair*>(scores + row * p.pitch + first + column) = {left * p.p.scale, right * p.p.scale};
    });
  }
}

// Scores become weights, by a warp a row; `factors` are what the sums of weighted values are multiplied with.
DEVICE void weigh(const AttentionCall& p, const Part& part, float* scores, float* factors) {
  const AttentionParams& q = p.p;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int i = static_cast<int>(threadIdx.x) / kWarp; i < part.queries; i += kThreads / kWarp) {
    const int64_t query = part.first + i;
    const int seen = q.is_causal && query + 1 < part.keys ? static_cast<int>(query) + 1 : part.keys;
    float* row = scores + i * p.pitch;
    const float* bias = p.bias ? p.bias + part.head * q.bias_stride[0] + query * q.bias_stride[1] : nullptr;
    const int64_t (&stride)[5] = q.mask_stride;
    const int64_t mask = part.image * stride[0] + part.window * stride[1] + part.head * stride[2] + query * stride[3];
    float most = -__builtin_inff();
    for (int j = lane * 2; j < seen; j += kPartials) {
#pragma unroll
      for (int n = j; n < j + 2; ++n) {
        if (n >= seen) break;
        float s = row[n];
        if (bias) s += bias[n];
        if (p.mask && q.mask_is_bool) {
          if (!static_cast<const uint8_t*>(p.mask)[mask + n * stride[4]]) s = -__builtin_inff();
        } else if (p.mask) {
          s += static_cast<const float*>(p.mask)[mask + n * stride[4]];
        }
        row[n] = s;
        most = max(set(s), set(most)).lane;
      }
    }
    const float peak = peak_of(fold_in_any_order<Larger>(most));
    RowPartials<Sum> sums;
    for (int j = lane * 2; j - lane * 2 < part.keys; j += kPartials) {
      float e[2];
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        e[n] = j + n < seen ? weight_of(set(row[j + n]), set(peak)).lane : 0.0f;
        if (j + n < part.keys) row[j + n] = e[n];
      }
      sums.add(e[0], e[1]);
    }
    const float factor = factor_of(sums.fold());
    if (lane == 0) factors[i] = factor;
  }
}

DEVICE void add_values(const AttentionCall& p, const Part& part, const float* scores, const float* factors,
                       float* staging) {
  const Rows v(p.p.v_stride, p, part, part.kv_head), out(p.p.out_stride, p, part, part.head);
  const int width = static_cast<int>(p.p.dv);
  for (int first = 0; first < width; first += kColumns) {
    float sum[4][4] = {};
    multiply<false>(
        sum, part.keys, staging, [&](int i, int t) { return i < part.queries ? scores[i * p.pitch + t] : 0.0f; },
        [&](int c, int t) { return first + c < width ? p.v + v.at(t) + first + c : nullptr; });
    for_each_pair(sum, [&](int row, int column, float left, float right) {
      if (row >= part.queries) return;
      float* to = p.out + out.at(part.first + row) + first + column;
      if (first + column < width) to[0] = left * factors[row];
      if (first + column + 1 < width) to[1] = right * factors[row];
    });
  }
}

}  // namespace

KERNEL(attention, kThreads, 512 / kThreads, AttentionCall) {
  SHARED_MEMORY(memory);
  float* staging = reinterpret_cast<float*>(memory);
  float* factors = staging + kDepth * (kLeftPitch + kRightPitch);
  float* scores = p.scores ? p.scores + blockIdx.x * QUERIES * p.pitch : factors + QUERIES;
  const int64_t blocks = (p.p.lq + QUERIES - 1) / QUERIES, parts = p.p.images * p.p.windows * p.p.q_heads * blocks;
  for (int64_t index = blockIdx.x; index < parts; index += gridDim.x) {
    const Part part(p.p, index);
    score_keys(p, part, scores, staging);
    sync_threads();
    weigh(p, part, scores, factors);
    sync_threads();
    add_values(p, part, scores, factors, staging);
    sync_threads();
  }
}
