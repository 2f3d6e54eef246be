// How attention is cut into tasks: a block of queries of one head, a query in each lane. Internal linkage: ISA files
// include it.
#pragma once

#include "kernels/attention/attention.h"

namespace rushlight {
namespace {

constexpr int64_t kPartials = 64;

// Queries of a task: `most`, or half of it and so on down to `width` where there are no more queries, or where the
// scores of that many would leave the second-level cache.
inline int64_t queries_of_task(const AttentionParams& p, int64_t most, int64_t width) {
  constexpr int64_t cache = 1 << 20;
  int64_t block = most;
  while (block > width && (block / 2 >= p.lq || block * p.lk * int64_t(sizeof(float)) > cache)) block /= 2;
  return block;
}

// A thread's scratch, in floats: everything is [..][block], a query in each column.
struct BlockScratch {
  int64_t scores, q, out, partials, end;
};
inline BlockScratch lay_out_block(const AttentionParams& p, int64_t block) {
  const int64_t q = p.lk * block, out = q + p.d * block, partials = out + p.dv * block;
  return {0, q, out, partials, partials + kPartials * block};
}

}  // namespace
}  // namespace rushlight
