// Steps of four bytes by AVX512-VNNI, for ISA files only.
#pragma once

#include "kernels/gemm/tile.h"

namespace rushlight {
namespace {

struct StepU8x4 {
  using Acc = VI;
  static RL_INLINE VI broadcast(const std::byte* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  // Not the intrinsic: GCC 12 copies its accumulators through the stack.
  static RL_INLINE void multiply_add(VI& acc, VI a, VI b) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc.r) : "v"(a.r), "v"(b.r));
  }
};

}  // namespace
}  // namespace rushlight
