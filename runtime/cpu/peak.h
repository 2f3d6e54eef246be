// What this machine can do at most, measured: the yardstick of benchmarks and of `explain`.
#pragma once

#include <cstdint>

namespace rushlight {

struct Peaks {
  double f32_flops;    // multiply and add counted apart, a second, all threads together
  double int8_ops;     // the same for u8 x s8 into s32
  double read_bytes;   // a second, from buffers larger than the second-level cache
  double cache_bytes;  // a second, from buffers that fit it
};

// Takes some 0.3 s. Uses the best of the instruction sets `isas`, bits of available_isas().
Peaks measure_peaks(int threads, uint32_t isas);

}  // namespace rushlight
