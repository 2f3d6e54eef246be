// One row of scores: bias, mask and exponentials; for ISA files.
#pragma once

#include "kernels/attention/block.h"
#include "kernels/attention/functions.h"
#include "kernels/kernel.h"
#include "kernels/vec/partials.h"

namespace rushlight {
namespace {

// A row of n scores; there is room for whole vectors, and what fills the last one up counts as -inf.
RL_INLINE void add_strided(float* row, int64_t n, const float* mask, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) row[i] += mask[i * stride];
}

RL_INLINE void keep_strided(float* row, int64_t n, const uint8_t* mask, int64_t stride) {
  for (int64_t i = 0; i < n; ++i)
    if (!mask[i * stride]) row[i] = -__builtin_inff();
}

// Scores become change(score, index, lanes); the largest ones of lanes. A NaN may be lost: its exponential is NaN in
// any case.
template <bool Changes = true, class Change>
RL_INLINE V largest(float* row, int64_t n, Change change) {
  const V none = set(-__builtin_inff());
  V most[4] = {none, none, none, none};
  int64_t i = 0;
  const auto whole = [&](int k) __attribute__((always_inline)) {
    const V s = change(load(row + i), i, kWidth);
    if constexpr (Changes) store(row + i, s);
    most[k] = max(s, most[k]);
    i += kWidth;
  };
  while (i + 4 * kWidth <= n)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) whole(k);
#pragma GCC unroll 4
  for (int k = 0; k < 3; ++k)
    if (i + kWidth <= n) whole(k);
  if (i < n) {
    const int lanes = int(n - i);
    const V s = select(first_lanes(lanes), change(load(row + i), i, lanes), none);
    store(row + i, s);
    most[3] = max(s, most[3]);
  }
  return max(max(most[0], most[1]), max(most[2], most[3]));
}

RL_INLINE V largest(float* row, int64_t n) {
  return largest<false>(row, n, [](V s, int64_t, int) { return s; });
}
RL_INLINE V add_largest(float* row, int64_t n, const float* addend) {
  return largest(row, n, [=](V s, int64_t i, int lanes) { return s + load_n(addend + i, lanes); });
}
RL_INLINE V add_both_largest(float* row, int64_t n, const float* first, const float* second) {
  return largest(row, n,
                 [=](V s, int64_t i, int lanes) { return s + load_n(first + i, lanes) + load_n(second + i, lanes); });
}
RL_INLINE V keep_largest(float* row, int64_t n, const uint8_t* mask) {
  return largest(row, n, [=](V s, int64_t i, int lanes) {
    return select(load_mask_n(mask + i, lanes), s, set(-__builtin_inff()));
  });
}

// The largest ones of n scores of query i, which get their bias and mask.
template <class P>
RL_INLINE V largest_scores(const P& p, const Call& call, const Part& part, float* row, int64_t i, int64_t n) {
  const void* const mask = call.operand[kAttentionMask];
  const float* bias = static_cast<const float*>(call.operand[kAttentionBias]);
  if (bias) bias += part.head * p.bias_stride[0] + i * p.bias_stride[1];
  if (!mask) return bias ? add_largest(row, n, bias) : largest(row, n);
  const int64_t (&stride)[5] = p.mask_stride;
  const int64_t at = part.image * stride[0] + part.window * stride[1] + part.head * stride[2] + i * stride[3];
  if (!p.mask_is_bool && stride[4] == 1) {
    const float* const addend = static_cast<const float*>(mask) + at;
    return bias ? add_both_largest(row, n, bias, addend) : add_largest(row, n, addend);
  }
  if (bias) add_largest(row, n, bias);
  if (p.mask_is_bool) {
    const uint8_t* const keep = static_cast<const uint8_t*>(mask) + at;
    if (stride[4] == 1) return keep_largest(row, n, keep);
    keep_strided(row, n, keep, stride[4]);
  } else {
    add_strided(row, n, static_cast<const float*>(mask) + at, stride[4]);
  }
  return largest(row, n);
}

// The first n scores, none above `most`, become exponentials, what follows up to `end` zero. The exponentials' sum, but
// for the lanes' (fold).
RL_INLINE V exponentiate(float* row, int64_t n, int64_t end, float most) {
  const V peak = set(peak_of(most));
  Partials<Sum> sum;
  int64_t i = 0;
  const auto step = [&](int k) __attribute__((always_inline)) {
    const V e = weight_of(load(row + i + k * kWidth), peak);
    store(row + i + k * kWidth, e);
    sum.v[k] = sum.v[k] + e;
  };
  for (; i + kPartials <= n; i += kPartials)
#pragma GCC unroll 8
    for (int k = 0; k < Partials<Sum>::kVectors; ++k) step(k);
#pragma GCC unroll 8
  for (int k = 0; k < Partials<Sum>::kVectors; ++k) {
    if (i + k * kWidth >= n) break;
    step(k);
  }
  for (i = (n + kWidth - 1) / kWidth * kWidth; i < end; i += kWidth) store(row + i, zero());
  return sum.lanes();
}

}  // namespace
}  // namespace rushlight
