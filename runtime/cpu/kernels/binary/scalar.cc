// The SCALAR rows.
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/binary/binary.h"
#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {
namespace {

// Integers compute in their unsigned type, where overflow wraps.
template <class T>
using Wrapping = typename std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, std::make_unsigned<T>,
                                             std::type_identity<T>>::type;

template <class T>
T add(T a, T b) {
  return T(Wrapping<T>(a) + Wrapping<T>(b));
}
template <class T>
T sub(T a, T b) {
  return T(Wrapping<T>(a) - Wrapping<T>(b));
}
template <class T>
T mul(T a, T b) {
  return T(Wrapping<T>(a) * Wrapping<T>(b));
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
  if constexpr (std::is_floating_point_v<T>) {
    // Not every C library takes a denormal divisor for the zero that it is here.
    return b == 0 ? std::numeric_limits<T>::quiet_NaN() : std::fmod(a, b);
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
  if constexpr (std::is_floating_point_v<T>) {
    const T r = std::fmod(a, b);
    if (b == 0) return a / b;
    const T quotient = (a - r) / b - T(r != 0 && (r < 0) != (b < 0));
    const T floor = std::floor(quotient);  // a - r is rounded, so that the quotient may miss an integer
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
bool logical_and(bool a, bool b) { return a && b; }
bool logical_or(bool a, bool b) { return a || b; }
bool logical_xor(bool a, bool b) { return a != b; }

// A boolean's byte may hold any value.
template <class T>
T get(const void* p, int64_t i) {
  if constexpr (std::is_same_v<T, bool>) {
    return static_cast<const uint8_t*>(p)[i] != 0;
  } else {
    return static_cast<const T*>(p)[i];
  }
}

template <class T, class Result, class Op>
void map_scalar(const Call& call, int64_t begin, int64_t end, Op op) {
  const auto& p = *static_cast<const BinaryParams*>(call.params);
  Result* out = static_cast<Result*>(call.operand[2]);
  const int64_t a_step = p.a_strides[p.rank - 1], b_step = p.b_strides[p.rank - 1];
  const int64_t* const strides[] = {p.a_strides, p.b_strides};
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[2], int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      out[to + i] =
          Result(op(get<T>(call.operand[0], from[0] + i * a_step), get<T>(call.operand[1], from[1] + i * b_step)));
  });
}

}  // namespace

#define SCALAR(op, types, T, Result)                                            \
  void op##_##types##_generic(const Call& call, int64_t begin, int64_t end) {   \
    map_scalar<T, Result>(call, begin, end, [](T a, T b) { return op(a, b); }); \
  }
#include "kernels/binary/kernels.inc"
#undef SCALAR

}  // namespace rushlight
