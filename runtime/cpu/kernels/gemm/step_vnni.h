// Steps of four bytes by VNNI, for ISA files only.
#pragma once

#include "kernels/gemm/tile.h"
#include "kernels/vec/vnni.h"

namespace rushlight {
namespace {

struct StepU8x4 {
  using Acc = VI;
  static RL_INLINE VI broadcast(const std::byte* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void multiply_add(VI& acc, VI a, VI b) { dot_bytes(acc, a, b); }
};

}  // namespace
}  // namespace rushlight
