// How attention is cut into tasks, and a thread's scratch. Internal linkage: ISA files include it.
#pragma once

#include <algorithm>

#include "kernels/attention/attention.h"

namespace rushlight {
namespace {

constexpr int64_t kStrip = 12;        // queries at a time
constexpr int64_t kCausalBlock = 64;  // queries that see the same keys but for their masks
constexpr int64_t kWorthSharing = 8;  // tasks: fewer are split along the queries, though each packs all keys

inline int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Queries of a task. P has the sizes of AttentionParams, here and below.
template <class P>
int64_t queries_of_task(const P& p) {
  const int64_t heads = p.images * p.windows * p.q_heads;
  if (heads == 0 || heads >= kWorthSharing) return p.lq > 0 ? p.lq : 1;
  const int64_t blocks = (kWorthSharing + heads - 1) / heads;
  return round_up((p.lq + blocks - 1) / blocks > 0 ? (p.lq + blocks - 1) / blocks : 1, kCausalBlock);
}

template <class P>
int64_t tasks_of(const P& p) {
  const int64_t block = queries_of_task(p);
  return p.dv > 0 ? p.images * p.windows * p.q_heads * ((p.lq + block - 1) / block) : 0;
}

// What a task computes: queries [first, last) of one head of one window of one image.
struct Part {
  int64_t image, window, head, kv_head, first, last;
};
template <class P>
Part part_of(const P& p, int64_t task) {
  const int64_t block = queries_of_task(p), blocks = (p.lq + block - 1) / block;
  const int64_t first = task % blocks * block, head = task / blocks % p.q_heads;
  return {task / blocks / p.q_heads / p.windows,
          task / blocks / p.q_heads % p.windows,
          head,
          head / (p.q_heads / p.kv_heads),
          first,
          std::min(first + block, p.lq)};
}

// strip(first, m, keys) for the strips of a part: m queries from `first` on, which see at most `keys` keys.
template <class P, class Strip>
void for_strips(const P& p, const Part& part, Strip strip) {
  for (int64_t i = part.first; i < part.last;) {
    const int64_t limit = p.is_causal ? i / kCausalBlock * kCausalBlock + kCausalBlock : part.last;
    const int64_t m = std::min({kStrip, part.last - i, limit - i});
    strip(i, m, p.is_causal ? std::min(p.lk, limit) : p.lk);
    i += m;
  }
}

// Rows of one head of one image: row i lies at base + at(i).
template <class T>
struct Rows {
  const T* base;
  int64_t stride;
  const int64_t* numbers;  // of the rows; null: 0, 1, ...

  int64_t at(int64_t i) const { return (numbers ? numbers[i] : i) * stride; }
  const T* row(int64_t i) const { return base + at(i); }
};

// In floats. Rows are a line longer than they need be: their strides are no powers of two.
struct AttentionScratch {
  int64_t keys, values, q, scores, rows, end;  // where they start
  int64_t q_row, score_row, value_row;         // strides
};
inline AttentionScratch lay_out_scratch(const AttentionParams& p, bool has_rows) {
  AttentionScratch s{};
  s.q_row = (p.d > 64 ? round_up(p.d, 16) : 64) + 16;  // of results, too
  s.score_row = round_up(p.lk, 64) + 16;
  s.value_row = round_up(p.dv, 64);
  s.keys = 0;
  s.values = s.keys + round_up(p.lk, 64) * p.d;
  s.values = round_up(s.values, 16);
  s.q = s.values + p.lk * s.value_row;
  s.scores = s.q + kStrip * s.q_row;
  s.rows = s.scores + kStrip * s.score_row;
  s.end = s.rows + (has_rows ? round_up(p.lk * p.d, 16) : 0);
  return s;
}

}  // namespace
}  // namespace rushlight
