// The maximum over bytes, a register B of vec/bytes_*.h at a time; for ISA files.
#pragma once

#include "kernels/pool/generic.h"

namespace rushlight {
namespace {

template <class B>
struct MaxBytes {
  using Element = uint8_t;
  using Sum = typename B::Int;
  static constexpr int kLanes = B::kTile;
  static RL_INLINE Sum start() { return B::zero(); }
  static RL_INLINE Sum add(Sum m, const uint8_t* p) { return B::max_bytes(m, B::load(p)); }
  static RL_INLINE Sum add_n(Sum m, const uint8_t* p, int n) { return B::max_bytes(m, B::load_n(p, n)); }
  static RL_INLINE void finish(const PoolParams&, const Window&, uint8_t* dst, Sum m) { B::store(dst, m); }
  static RL_INLINE void finish_n(const PoolParams&, const Window&, uint8_t* dst, Sum m, int n) {
    B::store_n(dst, m, n);
  }
};

}  // namespace
}  // namespace rushlight
