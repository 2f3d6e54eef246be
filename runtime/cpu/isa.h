#pragma once

#include <cstdint>

#include "kernels/kernel.h"

namespace rushlight {

const char* isa_name(Isa isa);

// Bit `1 << isa` is set where this CPU and operating system can run the set; generic always.
uint32_t available_isas();

// Denormal operands and results are zero for a scope, in every thread alike; the caller's mode comes back. On x86 that
// is FTZ and DAZ, on ARM FPCR.FZ. They differ for one kind of result: ARM decides before rounding, so that what lies
// below 2^-126 and would round up to it becomes zero there.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace rushlight
