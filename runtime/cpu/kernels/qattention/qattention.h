// Scaled dot product attention of uint8 q, k and v, with a uint8 result.
//
//   s[i][j]   = float(sum over d of (q[i][d] - q_zero_point) * (k[j][d] - k_zero_point)) * score_scale
//   s[i][j]  += bias[i][j], then += mask[i][j], or = -inf where a bool mask is false or, if causal, j > i
//   w[i][j]   = 255 * 2^((s[i][j] - max over j of s[i][j]) * log2(e)), rounded to a whole number (vec/exp_bytes.h)
//                                       the max leaves NaN out and counts as 0 where it is -inf; a power of NaN is 0
//   t[i][c]   = sum over j of w[i][j] * (v[j][c] - v_zero_point)
//   out[i][c] = fma(float(t[i][c]), scale / float(sum over j of w[i][j]), offset), limited to [qmin, qmax] and
//               rounded, halves to even; a sum of 0 counts as 1
//
// Sums are exact, but that t is one of float(t) of 2^15 keys each, in order. Heads, windows, causal rows, memory and
// strides are those of attention.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {

// The first fields as in AttentionParams.
struct QAttentionParams {
  int64_t images, windows, q_heads, kv_heads, lq, lk, d, dv;
  int64_t q_stride[3], k_stride[3], v_stride[3], out_stride[3];  // image, head, row
  int64_t bias_stride[2];                                        // head, row
  int64_t mask_stride[5];                                        // image, window, head, row, key
  int64_t mask_is_bool, is_causal;
  int64_t q_zero_point, k_zero_point, v_zero_point, qmin, qmax;
  float score_scale, scale, offset;
};

}  // namespace rushlight
