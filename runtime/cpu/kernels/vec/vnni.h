// Sums of products by VNNI, for ISA files: where there is none, RL_VNNI is not defined.
#pragma once

#include "kernels/vec/vec.h"

// Not the intrinsics: GCC 12 copies their accumulators through the stack.
#if defined(__AVX512VNNI__)
#define RL_VNNI(instruction, acc, a, b) asm(instruction " %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b))
#elif defined(__AVXVNNI__)
#define RL_VNNI(instruction, acc, a, b) asm("%{vex%} " instruction " %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b))
#endif

#if defined(RL_VNNI)
namespace rushlight {
namespace {

// acc + the four products of u8 in a and s8 in b, in each lane. Sums wrap.
RL_INLINE void dot_bytes(VI& acc, VI a, VI b) { RL_VNNI("vpdpbusd", acc.r, a.r, b.r); }

// The same of two products of s16.
RL_INLINE void dot_words(VI& acc, VI a, VI b) { RL_VNNI("vpdpwssd", acc.r, a.r, b.r); }

}  // namespace
}  // namespace rushlight
#endif
