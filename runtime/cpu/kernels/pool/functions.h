// What the family computes of single elements, for ISA files and CUDA kernels.
#pragma once

#include "kernels/pool/window.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

// The larger of x and what was found before; a NaN stays.
RL_INLINE V take_larger(V found, V x) { return select(is_nan(x), x, max(x, found)); }

// The average of bytes in the output's quantization, from the sum of the window's; stored, it saturates.
RL_INLINE VI average_of_bytes(const PoolParams& p, const Window& w, VI sum) {
  const VI total = sum - set_i(int32_t(w.rows * w.columns * p.src_zero_point));
  const V v = fma(to_float(total), set(p.scale / float(w.count)), set(p.offset));
  return round_int(min(max(v, set(p.lo)), set(p.hi)));
}

}  // namespace
}  // namespace rushlight
