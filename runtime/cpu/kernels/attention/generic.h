// Attention with a query in each lane: neither k nor v is packed, their elements are broadcast. For ISA files; Block is
// a transpose in registers (move/blocks_ymm.h).
#pragma once

#include "kernels/attention/block.h"
#include "kernels/kernel.h"
#include "kernels/move/transpose.h"
#include "kernels/vec/math.h"

namespace rushlight {
namespace {

// sums[r][lane] = sum over t of rows[r * row_stride + t * step] * columns[t][lane], from +0 in t order, R rows, N
// vectors.
template <int R, int N>
__attribute__((noinline)) void multiply_rows(const float* rows, int64_t row_stride, int64_t step, const float* columns,
                                             int64_t count, float* sums) {
  constexpr int block = N * kWidth;
  V sum[R][N];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[r][n] = zero();
  for (int64_t t = 0; t < count; ++t, rows += step, columns += block) {
    V x[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) x[n] = load(columns + n * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V factor = set(rows[r * row_stride]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = fma(factor, x[n], sum[r][n]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(sums + r * block + n * kWidth, sum[r][n]);
}

// The same for any number of rows.
template <int N>
void multiply(const float* rows, int64_t n_rows, int64_t row_stride, int64_t step, const float* columns, int64_t count,
              float* sums) {
  constexpr int64_t block = N * kWidth;
  int64_t r = 0;
  for (; r + 6 <= n_rows; r += 6)
    multiply_rows<6, N>(rows + r * row_stride, row_stride, step, columns, count, sums + r * block);
  for (; r + 2 <= n_rows; r += 2)
    multiply_rows<2, N>(rows + r * row_stride, row_stride, step, columns, count, sums + r * block);
  if (r < n_rows) multiply_rows<1, N>(rows + r * row_stride, row_stride, step, columns, count, sums + r * block);
}

// A task's queries and what they see.
struct Queries {
  int64_t first, count, keys;
  const void* mask;  // at query `first`, key 0; may be null
};

// The mask of key j: `bias` gets what is added to each lane's score.
template <int N>
RL_INLINE void load_bias(const AttentionParams& p, const Queries& queries, int64_t j, float* bias) {
  constexpr int block = N * kWidth;
  for (int i = 0; i < block; ++i) {
    if (i >= queries.count) {
      bias[i] = 0.0f;
    } else {
      const int64_t at = i * p.mask_stride[2] + j * p.mask_stride[3];
      bias[i] = p.mask_is_bool ? static_cast<const uint8_t*>(queries.mask)[at] ? 0.0f : -__builtin_inff()
                               : static_cast<const float*>(queries.mask)[at];
    }
  }
}

// Scales and masks the scores; peak gets each lane's largest.
template <int N>
void mask_scores(const AttentionParams& p, const Queries& queries, float* scores, V (&peak)[N]) {
  constexpr int block = N * kWidth;
  alignas(64) float bias[block], position[block];
  for (int i = 0; i < block; ++i) position[i] = float(i);
  const V scale = set(p.scale), nothing = set(-__builtin_inff());
  for (int n = 0; n < N; ++n) peak[n] = nothing;
  for (int64_t j = 0; j < queries.keys; ++j, scores += block) {
    if (queries.mask) load_bias<N>(p, queries, j, bias);
    // Lanes before this one come before key j.
    const V seen = set(p.is_causal ? float(j - queries.first) : 0.0f);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      V s = load(scores + n * kWidth) * scale;
      if (queries.mask) {
        const V b = load(bias + n * kWidth);
        s = p.mask_is_bool ? select(lt(b, zero()), b, s) : s + b;
      }
      s = select(lt(load(position + n * kWidth), seen), nothing, s);
      peak[n] = max(peak[n], s);
      store(scores + n * kWidth, s);
    }
  }
}

// Scores become their exponentials; total gets the sum of each lane.
template <int N>
void exponentiate(const Queries& queries, float* scores, float* partials, V (&peak)[N], V (&total)[N]) {
  constexpr int block = N * kWidth;
  for (int64_t i = 0; i < kPartials * N; ++i) store(partials + i * kWidth, zero());
  for (int n = 0; n < N; ++n) peak[n] = select(eq(peak[n], set(-__builtin_inff())), zero(), peak[n]);
  for (int64_t j = 0; j < queries.keys; ++j, scores += block) {
    float* const partial = partials + j % kPartials * block;
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) {
      const V e = exp_of_negative(load(scores + n * kWidth) - peak[n]);
      store(scores + n * kWidth, e);
      store(partial + n * kWidth, load(partial + n * kWidth) + e);
    }
  }
  for (int64_t half = kPartials / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half * block; i += kWidth)
      store(partials + i, load(partials + i) + load(partials + i + half * block));
  for (int n = 0; n < N; ++n) total[n] = load(partials + n * kWidth);
}

template <int N, class Block>
void attend(const Call& call, const AttentionParams& p, int64_t begin, int64_t end) {
  constexpr int64_t block = N * kWidth;
  const int64_t blocks = (p.lq + block - 1) / block, group = p.q_heads / p.kv_heads;
  const BlockScratch at = lay_out_block(p, block);
  float* const scratch = reinterpret_cast<float*>(call.scratch);
  float *const scores = scratch + at.scores, *const columns = scratch + at.q, *const sums = scratch + at.out;
  const auto operand = [&](int index) { return static_cast<const float*>(call.operand[index]); };
  for (int64_t task = begin; task < end; ++task) {
    const int64_t first = task % blocks * block, head = task / blocks % p.q_heads, image = task / blocks / p.q_heads;
    const auto find = [&](const int64_t (&stride)[3], int64_t h) { return image * stride[0] + h * stride[1]; };
    const float* const q = operand(kAttentionQ) + find(p.q_stride, head) + first * p.q_stride[2];
    const float* const k = operand(kAttentionK) + find(p.k_stride, head / group);
    const float* const v = operand(kAttentionV) + find(p.v_stride, head / group);
    float* const out =
        static_cast<float*>(call.operand[kAttentionOut]) + find(p.out_stride, head) + first * p.out_stride[2];
    Queries queries{first, p.lq - first < block ? p.lq - first : block, p.lk, call.operand[kAttentionMask]};
    if (queries.mask) {
      const int64_t from = image * p.mask_stride[0] + head * p.mask_stride[1] + first * p.mask_stride[2];
      queries.mask = static_cast<const std::byte*>(queries.mask) + from * (p.mask_is_bool ? 1 : 4);
    }
    if (p.is_causal && first / 64 * 64 + 64 < p.lk) queries.keys = first / 64 * 64 + 64;

    for (int64_t i = 0; i < p.d * block; ++i) columns[i] = 0.0f;
    transpose<Block>(reinterpret_cast<const uint32_t*>(q), p.q_stride[2], reinterpret_cast<uint32_t*>(columns), block,
                     p.d, queries.count);
    multiply<N>(k, queries.keys, p.k_stride[2], 1, columns, p.d, scores);
    V peak[N], total[N];
    mask_scores<N>(p, queries, scores, peak);
    exponentiate<N>(queries, scores, scratch + at.partials, peak, total);
    for (int n = 0; n < N; ++n) total[n] = select(eq(total[n], zero()), set(1.0f), total[n]);
    multiply<N>(v, p.dv, 1, p.v_stride[2], scores, queries.keys, sums);
    for (int64_t c = 0; c < p.dv; ++c)
      for (int n = 0; n < N; ++n) {
        float* const sum = sums + c * block + n * kWidth;
        store(sum, load(sum) / total[n] + zero());
      }
    transpose<Block>(reinterpret_cast<const uint32_t*>(sums), block, reinterpret_cast<uint32_t*>(out), p.out_stride[2],
                     queries.count, p.dv);
  }
}

// Most is the number of vectors of queries that the registers have room for.
template <int Most, class Block>
void attention(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const AttentionParams*>(call.params);
  const int64_t vectors = queries_of_task(p, Most * kWidth, kWidth) / kWidth;
  if constexpr (Most >= 4)
    if (vectors == 4) return attend<4, Block>(call, p, begin, end);
  if constexpr (Most >= 2)
    if (vectors == 2) return attend<2, Block>(call, p, begin, end);
  attend<1, Block>(call, p, begin, end);
}

}  // namespace
}  // namespace rushlight
