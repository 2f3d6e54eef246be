// The loops of x86-64, for peak.cc.
#pragma once

#include "amx.h"
#include "isa.h"
#include "peak_loops.h"

namespace rushlight {

namespace {

constexpr int kIndependent = 12;

#define RL_LOOP(name, instructions)                                                                               \
  void name(int64_t rounds) {                                                                                     \
    asm volatile("1:\n.irp i,0,1,2,3,4,5,6,7,8,9,10,11\n" instructions "\n.endr\ndec %0\njnz 1b"                  \
                 : "+r"(rounds)                                                                                   \
                 :                                                                                                \
                 : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
                   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                                                  \
  }

RL_LOOP(fma_zmm, "vfmadd231ps %%zmm14, %%zmm15, %%zmm\\i")
RL_LOOP(fma_ymm, "vfmadd231ps %%ymm14, %%ymm15, %%ymm\\i")
RL_LOOP(multiply_add_xmm, "mulps %%xmm15, %%xmm\\i\naddps %%xmm15, %%xmm\\i")
RL_LOOP(dot_zmm, "vpdpbusd %%zmm14, %%zmm15, %%zmm\\i")
RL_LOOP(dot_ymm, "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\i")
RL_LOOP(madd_zmm, "vpmaddwd %%zmm14, %%zmm15, %%zmm13\nvpaddd %%zmm13, %%zmm\\i, %%zmm\\i")
RL_LOOP(madd_ymm, "vpmaddwd %%ymm14, %%ymm15, %%ymm13\nvpaddd %%ymm13, %%ymm\\i, %%ymm\\i")
RL_LOOP(madd_xmm, "pmaddwd %%xmm15, %%xmm\\i\npaddd %%xmm15, %%xmm\\i")

// What AVX code leaves in the upper halves of registers slows other code down.
void clear_registers() {
  if (!(available_isas() >> int(Isa::avx2) & 1)) return;
  asm volatile("vzeroall"
               :
               :
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                 "xmm12", "xmm13", "xmm14", "xmm15");
}

constexpr Instruction kF32[] = {
    {Isa::avx512, fma_zmm, 32}, {Isa::avx2, fma_ymm, 16}, {Isa::generic, multiply_add_xmm, 8}};
constexpr Instruction kInt8[] = {{Isa::amxint8, multiply_tiles, 2 * 16 * 16 * 64, 16},
                                 {Isa::avx512vnni, dot_zmm, 128},
                                 {Isa::avxvnni, dot_ymm, 64},
                                 {Isa::avx512, madd_zmm, 64},
                                 {Isa::avx2, madd_ymm, 32},
                                 {Isa::generic, madd_xmm, 16}};

#define RL_READ(name, load, bytes)                                                                          \
  void name(const std::byte* p, int64_t quarter, int64_t rounds) {                                          \
    asm volatile("1:\n" load(0, "(%0)") load(1, #bytes "(%0)") load(2, "(%0,%2)") load(3, #bytes "(%0,%2)") \
                     load(4, "(%0,%2,2)") load(5, #bytes "(%0,%2,2)") load(6, "(%0,%3)")                    \
                         load(7, #bytes "(%0,%3)") "add %4, %0\ndec %1\njnz 1b"                             \
                 : "+r"(p), "+r"(rounds)                                                                    \
                 : "r"(quarter), "r"(3 * quarter), "i"(kReadRegisters * bytes)                              \
                 : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");         \
  }

#define RL_ZMM(i, address) "vmovups " address ", %%zmm" #i "\n"
#define RL_YMM(i, address) "vmovups " address ", %%ymm" #i "\n"
#define RL_XMM(i, address) "movups " address ", %%xmm" #i "\n"
RL_READ(read_zmm, RL_ZMM, 64)
RL_READ(read_ymm, RL_YMM, 32)
RL_READ(read_xmm, RL_XMM, 16)

constexpr Reading kReading[] = {{Isa::avx512, read_zmm, kReadRegisters * 64},
                                {Isa::avx2, read_ymm, kReadRegisters * 32},
                                {Isa::generic, read_xmm, kReadRegisters * 16}};

}  // namespace

}  // namespace rushlight
