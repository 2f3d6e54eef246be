// What peak.cc runs to find a machine's peaks: loops of kIndependent instructions, more than latency times ports on any
// CPU, and reading, for each instruction set.
// In assembly, since the file is compiled for the oldest CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel.h"

namespace rushlight {

struct Instruction {
  Isa isa;
  void (*loop)(int64_t rounds);
  int ops;         // of one of its kIndependent parts
  int cycles = 1;  // that it takes, about
};

// Reads four quarters of a buffer side by side, `rounds` times two registers of each: one stream alone waits at every
// page.
constexpr int kReadRegisters = 2;

struct Reading {
  Isa isa;
  void (*read)(const std::byte* p, int64_t quarter, int64_t rounds);
  int64_t bytes;  // of each quarter in a round
};

}  // namespace rushlight
