// The vector layer: V (float lanes), VI (int32 lanes) and M (a mask) of kWidth lanes, 16 generic, 8 AVX2, 16 AVX-512,
// 4 NEON, 1 in CUDA kernels (RL_CUDA), which lack most loads and stores, and `down`.
//
// The ISA comes from the flags of the file that includes this header (RL_NEON stands for NEON, which every ARM compiler
// claims), so only ISA files (x86_<isa>.cc, arm_<isa>.cc, generic.cc) may include it. All of it has internal linkage.
// Every operation gives the same bits on every ISA but for the payload and sign of a NaN.
//   load_n, store_n    touch n lanes, 0 <= n <= kWidth, and no memory past them; other lanes load as zero
//   in_register(v)     v; several uses of a loaded vector then load it once
//   a + b, fma(a,b,c)  IEEE, round to nearest even; fma rounds once; fnma(a,b,c) = c - a*b
//   max(a, b)          a > b ? a : b, hence b where either is NaN; min alike
//   round_int          to nearest even; NaN and what does not fit give INT32_MIN; truncate_int alike, towards zero
//   store_u8, store_s8 saturate, as does store_four, which stores four vectors as bytes of p's type;
//                      store_low_bytes<N>(p, a) writes the low N bytes of every lane, N from 2 to 4
//   load_f16, load_bf16   halves and upper halves of float32, widened exactly, denormal halves too
//   load_mask          lanes whose byte is not zero; store_mask writes bytes 0 and 1
//   lane_bits(m)       bit i says whether lane i is in the mask; not in CUDA kernels
//   down<K>(v)         lane i is lane i + K of v for i < K, K a power of two below kWidth; other lanes are unspecified
#pragma once

#include <cstdint>

#define RL_INLINE inline __attribute__((always_inline))

// RL_ROW(symbol): the symbol with the ISA's name at its end.
#if defined(RL_CUDA)
#include "kernels/vec/vec_cuda.h"
#define RL_ROW(symbol) symbol
#elif defined(__AVX512F__)
#include "kernels/vec/vec_avx512.h"
#define RL_ROW(symbol) symbol##_avx512
#elif defined(__AVX2__)
#include "kernels/vec/vec_avx2.h"
#define RL_ROW(symbol) symbol##_avx2
#elif defined(RL_NEON)
#include "kernels/vec/vec_neon.h"
#define RL_ROW(symbol) symbol##_neon
#else
#include "kernels/vec/vec_generic.h"
#define RL_ROW(symbol) symbol##_generic
#endif

namespace rushlight {
namespace {

RL_INLINE V zero() { return set(0.0f); }
#if !defined(__AVX2__) && !defined(RL_CUDA)
RL_INLINE void store_four(uint8_t* p, VI a, VI b, VI c, VI d) {
  store_u8(p, a);
  store_u8(p + kWidth, b);
  store_u8(p + 2 * kWidth, c);
  store_u8(p + 3 * kWidth, d);
}
RL_INLINE void store_four(int8_t* p, VI a, VI b, VI c, VI d) {
  store_s8(p, a);
  store_s8(p + kWidth, b);
  store_s8(p + 2 * kWidth, c);
  store_s8(p + 3 * kWidth, d);
}
#endif
RL_INLINE V neg(V a) { return from_bits(bits(a) ^ set_i(INT32_MIN)); }
RL_INLINE V abs(V a) { return from_bits(bits(a) & set_i(INT32_MAX)); }
RL_INLINE V copy_sign(V magnitude, V sign) {
  return from_bits((bits(magnitude) & set_i(INT32_MAX)) | (bits(sign) & set_i(INT32_MIN)));
}
RL_INLINE M is_nan(V a) { return !eq(a, a); }

#ifndef RL_CUDA
// Combines the lanes of v by a fixed tree: lane i with i + kWidth / 2, then halves again.
template <class Op>
RL_INLINE float fold(V v, Op op) {
  if constexpr (kWidth == 16) v = op(v, down<8>(v));
  if constexpr (kWidth >= 8) v = op(v, down<4>(v));
  v = op(v, down<2>(v));
  v = op(v, down<1>(v));
  return first(v);
}
#endif

}  // namespace
}  // namespace rushlight
