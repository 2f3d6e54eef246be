// Integer products by VNNI, for its ISA files: q = 256 (high - 128) + low, both bytes unsigned. What the packed sums
// begin with takes the 128 off again.
#pragma once

#include "kernels/rnn/integer_product.h"
#include "kernels/vec/vnni.h"

namespace rushlight {
namespace {

struct ByteStep {
  using Input = uint8_t;
  using Weight = VI;
  static constexpr int kDepth = 4, kParts = 2;

  static RL_INLINE VI split(VI q, int part) { return part ? shift_right<8>(q) + set_i(128) : q & set_i(255); }
  static RL_INLINE VI join(const VI (&acc)[2]) { return shift_left<8>(acc[1]) + acc[0]; }
  static RL_INLINE void store(uint8_t* to, VI q) { store_u8(to, q); }
  static RL_INLINE VI broadcast(const uint8_t* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const int8_t* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void multiply_add(VI& acc, VI a, VI w) { dot_bytes(acc, a, w); }
};

}  // namespace
}  // namespace rushlight
