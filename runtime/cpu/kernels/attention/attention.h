// Scaled dot product attention, float32.
//
//   s[i][j]   = scale * (sum over d of q[i][d] * k[j][d])      one FMA chain from +0 in d order, then a product
//   s[i][j]  += mask[i][j], or = -inf where a bool mask is false or, if causal, j > i
//   e[i][j]   = exp(s[i][j] - max over j of s[i][j])           the max counts as 0 where it is -inf
//   out[i][c] = (sum over j of e[i][j] * v[j][c]) / sum over j of e[i][j] + 0
//                                                             one FMA chain from +0 in j order; a sum of 0 counts as 1
//
// for every image b and head h of q; head h reads head h / (q_heads / kv_heads) of k and v. The sum of e is the
// canonical one of 64 partial sums (vec/partials.h). A row without a key to see gives 0. Causal rows stop at the next
// multiple of 64 keys: what lies after it is not read. Other keys are read though masked: a NaN or infinity in their v
// makes NaN.
//
// q [b][q_heads][lq][d], k [b][kv_heads][lk][d], v [b][kv_heads][lk][dv], out [b][q_heads][lq][dv] at strides in
// elements of images, heads and rows; the last dimension is dense. mask [b][q_heads][lq][lk] has four strides, 0 where
// it broadcasts. Any alignment; nothing else is read or written; out overlaps nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

struct AttentionParams {
  int64_t images, q_heads, kv_heads, lq, lk, d, dv;
  int64_t q_stride[3], k_stride[3], v_stride[3], out_stride[3];  // image, head, row
  int64_t mask_stride[4];                                        // image, head, row, key
  int64_t mask_is_bool, is_causal;
  float scale;
};

enum AttentionOperand { kAttentionQ, kAttentionK, kAttentionV, kAttentionMask, kAttentionOut };

}  // namespace rushlight
