// Scaled dot product attention, float32.
//
//   s[i][j]   = scale * (sum over d of q[i][d] * k[j][d])      one FMA chain from +0 in d order, then a product
//   s[i][j]  += bias[i][j], then += mask[i][j], or = -inf where a bool mask is false or, if causal, j > i
//   e[i][j]   = 2^((s[i][j] - max over j of s[i][j]) * log2(e))    the max counts as 0 where it is -inf
//   out[i][c] = (sum over j of e[i][j] * v[j][c]) * (1 / sum over j of e[i][j])
//                                                             one FMA chain from +0 in j order; a sum of 0 counts as 1
//
// for every window of every image b and every head h of q; head h reads head h / (q_heads / kv_heads) of k and v. The
// sum of e is the canonical one of 64 partial sums (vec/reduction.h). A row without a key to see gives 0. Causal rows
// stop at the next multiple of 64 keys: what lies after it is not read. Other keys are read though masked: a NaN or
// infinity in their v makes NaN.
//
// q [b][q_heads][lq][d], k [b][kv_heads][lk][d], v [b][kv_heads][lk][dv], out [b][q_heads][lq][dv] at strides in
// elements of images, heads and rows; the last dimension is dense. With rows [windows][lq] (lq = lk), row i of window w
// of all four is row rows[w][i] of the image; each row of an image is in one window at most. bias [q_heads][lq][lk] and
// mask [b][windows][q_heads][lq][lk] have as many strides, 0 where they broadcast; the last one of bias is 1. bias,
// mask and rows are optional; windows is 1 without rows. Any alignment; nothing else is read or written; out overlaps
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct AttentionParams {
  int64_t images, windows, q_heads, kv_heads, lq, lk, d, dv;
  int64_t q_stride[3], k_stride[3], v_stride[3], out_stride[3];  // image, head, row
  int64_t bias_stride[2];                                        // head, row
  int64_t mask_stride[5];                                        // image, window, head, row, key
  int64_t mask_is_bool, is_causal;
  float scale;
};

enum AttentionOperand {
  kAttentionQ,
  kAttentionK,
  kAttentionV,
  kAttentionMask,
  kAttentionBias,
  kAttentionRows,
  kAttentionOut
};

}  // namespace rushlight
