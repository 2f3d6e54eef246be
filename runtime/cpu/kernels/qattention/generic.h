// Attention over packed keys and values, a strip of queries at a time: rows of queries by columns of keys, softmax
// along the rows, rows of weights by columns of v. For ISA files; Step is of tile.h, Most is how many vectors of
// columns the registers have room for, Block a transpose in registers (move/blocks_ymm.h).
#pragma once

#include <algorithm>

#include "kernels/attention/softmax_row.h"
#include "kernels/kernel.h"
#include "kernels/move/transpose.h"
#include "kernels/qattention/weights.h"

namespace rushlight {
namespace {

template <class Step, int Most, class Block>
class QAttention {
 public:
  explicit QAttention(const Call& call)
      : call_(call),
        p_(*static_cast<const QAttentionParams*>(call.params)),
        rows_(static_cast<const int64_t*>(call.operand[kAttentionRows])),
        at_(lay_out_scratch(p_, sizeof(Number))),
        finish_{set(p_.offset), set(float(p_.qmin)), set(float(p_.qmax))} {}

  void run_task(int64_t task) {
    part_ = part_of(p_, task);
    const int64_t packed = (part_.image * p_.windows + part_.window) * p_.kv_heads + part_.kv_head;
    if (packed != packed_) {
      pack_keys();
      pack_values();
    }
    packed_ = packed;
    for_strips(p_, part_, [&](int64_t first, int64_t m, int64_t keys) { run_strip(first, m, keys); });
  }

 private:
  using Number = typename Step::Number;
  using Product = StepProduct<Step>;
  static constexpr int64_t kPanel = Most * kWidth;  // keys

  template <class T>
  T* scratch(int64_t at) const {
    return reinterpret_cast<T*>(call_.scratch + at);
  }

  Rows<uint8_t> operand(int index, const int64_t (&stride)[3], int64_t head) const {
    const uint8_t* const base = static_cast<const uint8_t*>(call_.operand[index]);
    return {base + part_.image * stride[0] + head * stride[1], stride[2],
            rows_ ? rows_ + part_.window * p_.lq : nullptr};
  }

  // Keys as panels of [steps][keys].
  void pack_keys() {
    const Rows<uint8_t> k = operand(kAttentionK, p_.k_stride, part_.kv_head);
    const int64_t steps = at_.key_row / kWord;
    std::byte* const encoded = scratch<std::byte>(at_.encoded);
    for (int64_t first = 0; first < p_.lk; first += kPanel) {
      const int64_t keys = std::min(kPanel, p_.lk - first), width = round_up(keys, kWidth);
      std::byte* const panel = scratch<std::byte>(at_.keys + first * at_.key_row);
      for (int64_t j = 0; j < keys; ++j)
        Step::encode_column(k.row(first + j), p_.d, int32_t(p_.k_zero_point), encoded + j * at_.key_row);
      if (keys < width) std::fill(panel, panel + width * at_.key_row, std::byte());
      transpose<Block>(reinterpret_cast<const uint32_t*>(encoded), steps, reinterpret_cast<uint32_t*>(panel), width,
                       steps, keys);
      if constexpr (Step::kIsUnsigned) sum_keys(panel, width, scratch<int32_t>(at_.key_terms) + first);
    }
  }

  // What q's zero point takes from the products with each key of a panel.
  void sum_keys(const std::byte* panel, int64_t width, int32_t* terms) {
    const VI ones = set_i(0x01010101), factor = set_i(int32_t(-p_.q_zero_point));
    for (int64_t j = 0; j < width; j += kWidth) {
      VI sum = set_i(0);
      for (int64_t at = j * kWord; at < width * at_.key_row; at += width * kWord)
        Step::multiply_add(sum, ones, Step::load(panel + at));
      store_i(terms + j, sum * factor);
    }
  }

  // Values as [steps][columns].
  void pack_values() {
    const Rows<uint8_t> v = operand(kAttentionV, p_.v_stride, part_.kv_head);
    int32_t* to = scratch<int32_t>(at_.values);
    for (int64_t j = 0; j < p_.lk; j += Step::kDepth, to += at_.value_row / kWord) {
      const uint8_t* rows[Step::kDepth];
      for (int64_t i = 0; i < Step::kDepth; ++i) rows[i] = v.row(std::min(j + i, p_.lk - 1));  // weights past it are 0
      for (int64_t c = 0; c < p_.dv; c += kWidth) {
        const int count = p_.dv - c < kWidth ? int(p_.dv - c) : kWidth;
        store_i(to + c, Step::interleave(rows, c, count, int32_t(p_.v_zero_point)));
      }
    }
  }

  // Queries [first, first + m), which see at most `keys` keys.
  void run_strip(int64_t first, int64_t m, int64_t keys) {
    int32_t terms[kStrip] = {};
    encode_queries(first, m, terms);
    const bool has_terms = Step::kIsUnsigned;
    for (int64_t j = 0; j < keys; j += kPanel) {
      const int64_t width = round_up(std::min(kPanel, p_.lk - j), kWidth);
      multiply<Step, Most>(Product{
          scratch<Number>(at_.q), at_.q_row / int64_t(sizeof(Number)), scratch<std::byte>(at_.keys + j * at_.key_row),
          width * kWord, at_.key_row / kWord, terms, has_terms ? scratch<int32_t>(at_.key_terms) + j : nullptr,
          p_.score_scale, scratch<std::byte>(at_.scores) + j * int64_t(sizeof(float)), at_.score_row, m, width});
    }
    float most[kStrip];
    find_largest(first, m, keys, most);
    int64_t total[kStrip] = {};
    sum_values(first, m, 0, std::min(keys, kKeyBlock), most, total, at_.sums);
    for (int64_t j = kKeyBlock; j < keys; j += kKeyBlock) {
      const int64_t more = at_.sums + kStrip * at_.sum_row;
      sum_values(first, m, j, std::min(keys, j + kKeyBlock), most, total, more);
      for (int64_t at = 0; at < m * at_.sum_row; at += kWidth * int64_t(sizeof(float))) {
        float* const sum = scratch<float>(at_.sums + at);
        store(sum, load(sum) + load(scratch<float>(more + at)));
      }
    }
    const Rows<uint8_t> out = operand(kAttentionOut, p_.out_stride, part_.head);
    for (int64_t i = 0; i < m; ++i) {
      const float factor = p_.scale / float(total[i] == 0 ? 1 : total[i]);
      finish_.finish(scratch<float>(at_.sums + i * at_.sum_row), set(factor), const_cast<uint8_t*>(out.row(first + i)),
                     p_.dv);
    }
  }

  // The largest score of each query, which all get their bias and mask. Step by step for all rows, as in attention.
  void find_largest(int64_t first, int64_t m, int64_t keys, float* most) {
    V lanes[kStrip];
    for (int64_t i = 0; i < m; ++i)
      lanes[i] = largest_scores(p_, call_, part_, scores_of(i), first + i, seen(first + i, keys));
    for (int64_t i = 0; i < m; ++i) most[i] = fold(lanes[i], [](V a, V b) { return max(a, b); });
  }

  // Queries, and what k's zero point takes from the products with each.
  void encode_queries(int64_t first, int64_t m, int32_t* terms) {
    const Rows<uint8_t> q = operand(kAttentionQ, p_.q_stride, part_.head);
    VI lanes[kStrip];
    for (int64_t i = 0; i < m; ++i)
      lanes[i] =
          Step::encode_row(q.row(first + i), p_.d, int32_t(p_.q_zero_point), scratch<Number>(at_.q + i * at_.q_row));
    if constexpr (Step::kIsUnsigned) {
      const int32_t zero = int32_t(p_.d * p_.q_zero_point), factor = int32_t(128 - p_.k_zero_point);
      for (int64_t i = 0; i < m; ++i) terms[i] = factor * (sum_lanes(lanes[i]) - zero);
    }
  }

  // Sums over the keys [begin, end), to rows that start at `sums`; adds those of weights to `total`.
  void sum_values(int64_t first, int64_t m, int64_t begin, int64_t end, const float* most, int64_t* total,
                  int64_t sums) {
    Number* const weights = scratch<Number>(at_.weights);
    const int64_t row = at_.weight_row / int64_t(sizeof(Number)),
                  steps = (end - begin + Step::kDepth - 1) / Step::kDepth;
    VI lanes[kStrip];
    for (int64_t i = 0; i < m; ++i) {
      const int64_t n = std::max(seen(first + i, end) - begin, int64_t(0));
      lanes[i] = weigh_row<Step>(scores_of(i) + begin, n, steps * Step::kDepth, most[i], weights + i * row);
    }
    int32_t terms[kStrip] = {};
    for (int64_t i = 0; i < m; ++i) {
      const int32_t sum = sum_lanes(lanes[i]);
      total[i] += sum;
      if constexpr (Step::kIsUnsigned) terms[i] = int32_t(128 - p_.v_zero_point) * sum;
    }
    const std::byte* const values = scratch<std::byte>(at_.values) + begin / Step::kDepth * at_.value_row;
    for (int64_t c = 0; c < p_.dv; c += kPanel)
      multiply<Step, Most>(Product{weights, row, values + c * kWord, at_.value_row, steps, terms, nullptr, 1.0f,
                                   scratch<std::byte>(sums) + c * int64_t(sizeof(float)), at_.sum_row, m,
                                   round_up(std::min(kPanel, p_.dv - c), kWidth)});
  }

  float* scores_of(int64_t i) const { return scratch<float>(at_.scores + i * at_.score_row); }

  // How many of the first `keys` keys query i sees, but for masks.
  int64_t seen(int64_t i, int64_t keys) const { return p_.is_causal ? std::min(keys, i + 1) : keys; }

  const Call& call_;
  const QAttentionParams& p_;
  const int64_t* const rows_;
  const QAttentionScratch at_;
  const ByteRow finish_;
  Part part_{};
  int64_t packed_ = -1;  // the head of k and v that lies in scratch
};

template <class Step, int Most, class Block>
void qattention(const Call& call, int64_t begin, int64_t end) {
  QAttention<Step, Most, Block> attention(call);
  for (int64_t task = begin; task < end; ++task) attention.run_task(task);
}

}  // namespace
}  // namespace rushlight
