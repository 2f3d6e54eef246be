// The functions of the SCALAR rows, for scalar.cc and CUDA kernels.
#pragma once

#ifndef RL_CUDA
#include <cmath>
#endif

#include "kernels/binary/binary.h"

namespace rushlight {
namespace {

#ifndef RL_CUDA
inline float exact_fmod(float a, float b) { return std::fmod(a, b); }
inline float round_down(float x) { return std::floor(x); }
#endif

// Integers compute in their unsigned type, where overflow wraps.
inline uint64_t wrapping(int64_t x) { return uint64_t(x); }
inline uint32_t wrapping(int32_t x) { return uint32_t(x); }

template <class T>
T add(T a, T b) {
  return T(wrapping(a) + wrapping(b));
}
template <class T>
T sub(T a, T b) {
  return T(wrapping(a) - wrapping(b));
}
template <class T>
T mul(T a, T b) {
  return T(wrapping(a) * wrapping(b));
}
template <class T>
T maximum(T a, T b) {
  return a > b ? a : b;
}
template <class T>
T minimum(T a, T b) {
  return a < b ? a : b;
}
template <class T>
T div(T a, T b) {
  return b == 0 ? T(0) : b == -1 ? sub(T(0), a) : T(a / b);
}
template <class T>
T fmod(T a, T b) {
  if constexpr (__is_same(T, float)) {
    // Not every C library takes a denormal divisor for the zero that it is here.
    return b == 0 ? __builtin_nanf("") : exact_fmod(a, b);
  } else {
    return b == 0 || b == -1 ? T(0) : T(a % b);
  }
}
template <class T>
T remainder(T a, T b) {
  const T r = rushlight::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? T(r + b) : r;
}
template <class T>
T floor_divide(T a, T b) {
  if constexpr (__is_same(T, float)) {
    const T r = exact_fmod(a, b);
    if (b == 0) return a / b;
    const T quotient = (a - r) / b - T(r != 0 && (r < 0) != (b < 0));
    const T floor = round_down(quotient);  // a - r is rounded, so that the quotient may miss an integer
    return floor + T(quotient - floor > T(0.5));
  } else {
    return T(rushlight::div(a, b) - T(rushlight::remainder(a, b) != rushlight::fmod(a, b)));
  }
}
template <class T>
bool eq(T a, T b) {
  return a == b;
}
template <class T>
bool ne(T a, T b) {
  return a != b;
}
template <class T>
bool lt(T a, T b) {
  return a < b;
}
template <class T>
bool le(T a, T b) {
  return a <= b;
}
template <class T>
bool gt(T a, T b) {
  return a > b;
}
template <class T>
bool ge(T a, T b) {
  return a >= b;
}
inline bool logical_and(bool a, bool b) { return a && b; }
inline bool logical_or(bool a, bool b) { return a || b; }
inline bool logical_xor(bool a, bool b) { return a != b; }

}  // namespace
}  // namespace rushlight
