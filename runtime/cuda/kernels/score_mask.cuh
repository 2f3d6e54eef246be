// Bias and mask of attention's scores in the layout of products on tensor cores: of a warp's lane, fragment f has the
// scores of two rows, eight rows apart, and keys 8 f and 8 f + 1 from the lane's first on: [f][row * 2 + key].
#pragma once
#include "device.cuh"

// An operand that is read at both rows and as many of the keys, at strides in elements.
template <class T>
struct ScoreOperand {
  const T* row[2];
  int64_t stride;
  int count;  // of keys from the lane's first on

  // Calls visit(score, value) for every score that has a value.
  template <int Fragments, class Visit>
  DEVICE void visit(float (&score)[Fragments][4], Visit visit) const {
    const T* at[2] = {row[0], row[1]};
#pragma unroll
    for (int f = 0; f < Fragments; ++f) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (f * 8 + i % 2 < count) visit(score[f][i], at[i / 2][i % 2 * stride]);
      }
      at[0] += 8 * stride;
      at[1] += 8 * stride;
      if (f % 2 == 1) hold_loads();
    }
  }
};

// Of rows `first` and `second`, from `key` on; `limit` keys there are, strides are those of rows and keys.
template <class T>
DEVICE ScoreOperand<T> score_operand(const T* base, int first, int second, int64_t row_stride, int key,
                                     int64_t key_stride, int limit) {
  const T* const start = base + key * key_stride;
  return {{start + first * row_stride, start + second * row_stride}, key_stride, limit - key};
}
