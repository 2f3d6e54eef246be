// A thread's scratch. Internal linkage: ISA files include it.
#pragma once

#include "kernels/attention/block.h"
#include "kernels/qattention/qattention.h"

namespace rushlight {
namespace {

constexpr int64_t kKeyBlock = 1 << 15;  // keys over which sums of products of two bytes fit int32
constexpr int64_t kWord = 4;            // bytes of numbers that are multiplied and added in one step

// In bytes. Numbers take `number` bytes, keys of a panel are encoded before they are transposed. Rows of queries and
// weights are a line longer than they need be: whole vectors may be stored.
struct QAttentionScratch {
  int64_t keys, key_terms, values, q, scores, weights, sums, encoded, end;  // where they start
  int64_t key_row, q_row, score_row, weight_row, value_row, sum_row;        // strides
};
inline QAttentionScratch lay_out_scratch(const QAttentionParams& p, int64_t number) {
  constexpr int64_t kLine = 64, kFloat = 4;
  QAttentionScratch s{};
  s.key_row = round_up(p.d * number, kWord);
  s.q_row = round_up(s.key_row, kLine) + kLine;
  s.score_row = round_up(p.lk, 64) * kFloat + kLine;
  s.weight_row = round_up(p.lk < kKeyBlock ? p.lk : kKeyBlock, 64) * number + kLine;
  s.value_row = round_up(p.dv, 64) * kWord;
  s.sum_row = round_up(p.dv, 64) * kFloat + kLine;
  s.key_terms = s.keys + round_up(p.lk, 64) * s.key_row;
  s.values = s.key_terms + round_up(p.lk, 64) * kWord;
  s.q = s.values + round_up(p.lk * number, kWord) / kWord * s.value_row;
  s.scores = s.q + kStrip * s.q_row;
  s.weights = s.scores + kStrip * s.score_row;
  s.sums = s.weights + kStrip * s.weight_row;
  s.encoded = s.sums + 2 * kStrip * s.sum_row;
  s.end = s.encoded + round_up(64 * s.key_row, kLine) + kLine;
  return s;
}

}  // namespace
}  // namespace rushlight
