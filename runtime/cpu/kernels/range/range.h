// Numbers at equal distances: out[i] = start + i * step for 0 <= i < n, exact in int64, then converted.
//
// out is dense, of any alignment.
#pragma once

#include <cstdint>

namespace rushlight {

struct RangeParams {
  int64_t n, start, step;
};

constexpr int64_t kRangeBlock = 8192;  // elements a task

}  // namespace rushlight
