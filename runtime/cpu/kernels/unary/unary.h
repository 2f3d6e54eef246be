// out[i] = f(x[i]) for i in [0, n), float32.
//
// x and out are dense, of any alignment; out may be x itself, else they do not overlap. Nothing is read or written past
// n. alpha and beta are the function's own: bounds of clamp, slope of leaky_relu, scale of elu;
// others ignore them. NaN gives NaN, but for sign (0). Errors and edges are stated in vec/math.h.
#pragma once

#include <cstdint>

namespace rushlight {

struct UnaryParams {
  int64_t n;
  float alpha, beta;
};

constexpr int64_t kUnaryBlock = 4096;  // elements a task

}  // namespace rushlight
