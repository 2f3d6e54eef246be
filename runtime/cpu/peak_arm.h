// The loops of ARM64, for peak.cc.
#pragma once

#include "peak_loops.h"

namespace rushlight {

namespace {

constexpr int kIndependent = 24;

void clear_registers() {}

#define RL_REGISTERS                                                                                                  \
  "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", \
      "v18", "v19", "v20", "v21", "v22", "v23"

#define RL_LOOP(name, instructions)                                                      \
  void name(int64_t rounds) {                                                            \
    asm volatile(                                                                        \
        ".arch armv8.2-a+dotprod\n1:\n.irp "                                             \
        "i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23\n" instructions \
        "\n.endr\n"                                                                      \
        "subs %0, %0, #1\nb.ne 1b\n.arch armv8-a"                                        \
        : "+r"(rounds)                                                                   \
        :                                                                                \
        : "cc", RL_REGISTERS);                                                           \
  }

RL_LOOP(fmla, "fmla v\\i\\().4s, v30.4s, v31.4s")
RL_LOOP(sdot, "sdot v\\i\\().4s, v30.16b, v31.16b")
RL_LOOP(smlal, "smlal v\\i\\().4s, v30.4h, v31.4h")

constexpr Instruction kF32[] = {{Isa::neon, fmla, 8}};
constexpr Instruction kInt8[] = {{Isa::neondot, sdot, 32}, {Isa::neon, smlal, 8}};

void read_vectors(const std::byte* p, int64_t quarter, int64_t rounds) {
  const std::byte *p1 = p + quarter, *p2 = p1 + quarter, *p3 = p2 + quarter;
  asm volatile(
      "1:\nldp q0, q1, [%0], #32\nldp q2, q3, [%1], #32\nldp q4, q5, [%2], #32\nldp q6, q7, [%3], #32\n"
      "subs %4, %4, #1\nb.ne 1b"
      : "+r"(p), "+r"(p1), "+r"(p2), "+r"(p3), "+r"(rounds)
      :
      : "cc", "memory", RL_REGISTERS);
}
constexpr Reading kReading[] = {{Isa::neon, read_vectors, kReadRegisters * 16}};

#undef RL_LOOP
#undef RL_REGISTERS

}  // namespace

}  // namespace rushlight
