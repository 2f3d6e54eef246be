// Interpolation by K x K taps; for ISA files.
#pragma once

#include "kernels/kernel.h"
#include "kernels/resize/taps.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

template <int K>
RL_INLINE V blend(const float* const (&row)[K], const Taps<K>& y, const Taps<K>& x, const int64_t (&offset)[K], int n) {
  V sum = zero();
#pragma GCC unroll 4
  for (int k = 0; k < K; ++k) {
    V across = zero();
#pragma GCC unroll 4
    for (int j = 0; j < K; ++j) {
      const float* const at = row[k] + offset[j];
      across = fma(n == kWidth ? load(at) : load_n(at, n), set(x.weight[j]), across);
    }
    sum = fma(across, set(y.weight[k]), sum);
  }
  return sum;
}

// A task is one output row.
template <int K>
void interpolate(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const ResizeParams*>(call.params);
  const Axis height{p.ih, p.oh, p.scale_h}, width{p.iw, p.ow, p.scale_w};
  auto* const columns = reinterpret_cast<Taps<K>*>(call.scratch);
  for (int64_t ox = 0; ox < p.ow; ++ox) columns[ox] = taps_of<K>(p, width, ox);
  for (int64_t task = begin; task < end; ++task) {
    const Taps<K> y = taps_of<K>(p, height, task % p.oh);
    const float* const image = static_cast<const float*>(call.operand[kResizeSrc]) + task / p.oh * p.ih * p.iw * p.c;
    float* dst = static_cast<float*>(call.operand[kResizeDst]) + task * p.ow * p.c;
    const float* row[K];
    for (int k = 0; k < K; ++k) row[k] = image + y.index[k] * p.iw * p.c;
    for (int64_t ox = 0; ox < p.ow; ++ox, dst += p.c) {
      const Taps<K>& x = columns[ox];
      int64_t offset[K];
      for (int j = 0; j < K; ++j) offset[j] = x.index[j] * p.c;
      int64_t c = 0;
      for (; c + kWidth <= p.c; c += kWidth) {
        store(dst + c, blend<K>(row, y, x, offset, kWidth));
        for (int j = 0; j < K; ++j) offset[j] += kWidth;
      }
      if (c < p.c) store_n(dst + c, blend<K>(row, y, x, offset, int(p.c - c)), int(p.c - c));
    }
  }
}

}  // namespace
}  // namespace rushlight
