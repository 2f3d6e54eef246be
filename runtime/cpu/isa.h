#pragma once

#include <cstdint>

#include "kernels/kernel.h"

namespace rushlight {

const char* isa_name(Isa isa);

// Bit `1 << isa` is set where this CPU and operating system can run the set; generic always.
uint32_t available_isas();

// FTZ and DAZ for a scope: kernels flush denormals alike in every thread, the caller's mode comes back.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint32_t saved_;
};

}  // namespace rushlight
