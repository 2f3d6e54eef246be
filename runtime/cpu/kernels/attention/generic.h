// Attention over packed keys, a strip of queries at a time: rows of queries by columns of keys, softmax along the rows,
// rows of weights by columns of v. For ISA files; Most is how many vectors of columns the registers have room for,
// Block a transpose in registers (move/blocks_ymm.h).
#pragma once

#include <algorithm>

#include "kernels/attention/softmax_row.h"
#include "kernels/attention/tile.h"
#include "kernels/kernel.h"
#include "kernels/move/transpose.h"

namespace rushlight {
namespace {

RL_INLINE void copy_row(const float* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(to + i, load(from + i));
  if (i < n) store_n(to + i, load_n(from + i, int(n - i)), int(n - i));
}

template <int Most, class Block>
class Attention {
 public:
  explicit Attention(const Call& call)
      : call_(call),
        p_(*static_cast<const AttentionParams*>(call.params)),
        rows_(static_cast<const int64_t*>(call.operand[kAttentionRows])),
        at_(lay_out_scratch(p_, rows_ != nullptr)),
        scratch_(reinterpret_cast<float*>(call.scratch)) {}

  void run_task(int64_t task) {
    part_ = part_of(p_, task);
    const int64_t packed = (part_.image * p_.windows + part_.window) * p_.kv_heads + part_.kv_head;
    if (packed != packed_) pack();
    packed_ = packed;
    for_strips(p_, part_, [&](int64_t first, int64_t m, int64_t keys) { run_strip(first, m, keys); });
  }

 private:
  static constexpr int64_t kPanel = Most * kWidth;  // keys

  Rows<float> operand(int index, const int64_t (&stride)[3], int64_t head) const {
    const float* const base = static_cast<const float*>(call_.operand[index]);
    return {base + part_.image * stride[0] + head * stride[1], stride[2],
            rows_ ? rows_ + part_.window * p_.lq : nullptr};
  }

  // Keys as panels [d][keys], values as rows of whole vectors.
  void pack() {
    Rows<float> k = operand(kAttentionK, p_.k_stride, part_.kv_head);
    const Rows<float> v = operand(kAttentionV, p_.v_stride, part_.kv_head);
    if (rows_) {
      float* const dense = scratch_ + at_.rows;
      for (int64_t j = 0; j < p_.lk; ++j) copy_row(k.row(j), dense + j * p_.d, p_.d);
      k = {dense, p_.d, nullptr};
    }
    for (int64_t j = 0; j < p_.lk; j += kPanel) {
      const int64_t keys = std::min(kPanel, p_.lk - j), width = round_up(keys, kWidth);
      float* const panel = scratch_ + at_.keys + j * p_.d;
      if (keys < width) std::fill(panel, panel + width * p_.d, 0.0f);
      transpose<Block>(reinterpret_cast<const uint32_t*>(k.row(j)), k.stride, reinterpret_cast<uint32_t*>(panel), width,
                       p_.d, keys);
    }
    for (int64_t j = 0; j < p_.lk; ++j) {
      float* const row = scratch_ + at_.values + j * at_.value_row;
      copy_row(v.row(j), row, p_.dv);
      std::fill(row + p_.dv, row + round_up(p_.dv, kWidth), 0.0f);
    }
  }

  // Queries [first, first + m), which see at most `keys` keys.
  void run_strip(int64_t first, int64_t m, int64_t keys) {
    const Rows<float> q = operand(kAttentionQ, p_.q_stride, part_.head);
    float *const queries = scratch_ + at_.q, *const scores = scratch_ + at_.scores;
    for (int64_t i = 0; i < m; ++i) copy_row(q.row(first + i), queries + i * at_.q_row, p_.d);
    float factor[kStrip];
    std::fill(factor, factor + kStrip, p_.scale);
    for (int64_t j = 0; j < keys; j += kPanel) {
      const int64_t width = round_up(std::min(kPanel, p_.lk - j), kWidth);
      multiply<Most>({queries, at_.q_row, scratch_ + at_.keys + j * p_.d, width, p_.d, factor, scores + j,
                      at_.score_row, m, width});
    }
    weigh(scores, first, m, keys, factor);

    // Rows of out may lie anywhere: with row numbers each is written by itself.
    const Rows<float> out = operand(kAttentionOut, p_.out_stride, part_.head);
    float* const base = const_cast<float*>(out.base);
    float* const sums = rows_ ? queries : base + out.at(first);
    const int64_t stride = rows_ ? at_.q_row : out.stride;
    for (int64_t c = 0; c < p_.dv; c += kPanel) {
      const int64_t width = std::min(kPanel, p_.dv - c);
      multiply<Most>({scores, at_.score_row, scratch_ + at_.values + c, at_.value_row, keys, factor,
                      rows_ ? sums : sums + c, stride, m, width});
      if (!rows_) continue;
      for (int64_t i = 0; i < m; ++i) copy_row(sums + i * stride, base + out.at(first + i) + c, width);
    }
  }

  // Scores of queries [first, first + m) become weights, what their sums are divided by, factors. Step by step for all
  // rows: what folds the lanes of one takes as long as all its other steps, but need not wait for them.
  void weigh(float* scores, int64_t first, int64_t m, int64_t keys, float* factor) {
    V lanes[kStrip];
    float most[kStrip];
    const auto seen = [&](int64_t i) { return p_.is_causal ? std::min(keys, first + i + 1) : keys; };
    for (int64_t i = 0; i < m; ++i)
      lanes[i] = largest_scores(p_, call_, part_, scores + i * at_.score_row, first + i, seen(i));
    for (int64_t i = 0; i < m; ++i) most[i] = fold(lanes[i], [](V a, V b) { return max(a, b); });
    for (int64_t i = 0; i < m; ++i) lanes[i] = exponentiate(scores + i * at_.score_row, seen(i), keys, most[i]);
    for (int64_t i = 0; i < m; ++i) factor[i] = factor_of(fold(lanes[i], Sum()));
  }

  const Call& call_;
  const AttentionParams& p_;
  const int64_t* const rows_;
  const AttentionScratch at_;
  float* const scratch_;
  Part part_{};
  int64_t packed_ = -1;  // the head of k and v that lies in scratch
};

template <int Most, class Block>
void attention(const Call& call, int64_t begin, int64_t end) {
  Attention<Most, Block> attention(call);
  for (int64_t task = begin; task < end; ++task) attention.run_task(task);
}

}  // namespace
}  // namespace rushlight
