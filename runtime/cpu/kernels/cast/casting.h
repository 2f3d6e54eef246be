// The maps of cast.h, one element at a time, for ISA files and CUDA kernels.
#pragma once

#include "kernels/cast/cast.h"
#include "kernels/vec/half.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

struct Bool {
  uint8_t byte;
};
struct Half {
  uint16_t bits;
};
struct BHalf {
  uint16_t bits;
};

template <class T>
constexpr bool is_float = false;
template <>
constexpr bool is_float<float> = true;
template <>
constexpr bool is_float<double> = true;

RL_INLINE int to_number(Bool x) { return x.byte != 0; }
RL_INLINE float to_number(Half x) { return widen_f16(x.bits); }
RL_INLINE float to_number(BHalf x) { return widen_bf16(x.bits); }
template <class T>
RL_INLINE T to_number(T x) {
  return x;
}

template <class T>
RL_INLINE bool is_zero(T x) {
  return x == 0;
}
#ifdef RL_CUDA
// GPUs have no mode that takes denormal doubles for zeros.
RL_INLINE bool is_zero(double x) { return x > -0x1p-1022 && x < 0x1p-1022; }
#endif

template <class T>
constexpr T kHighest = T(-1) > T(0) ? T(-1) : T((uint64_t(1) << (8 * sizeof(T) - 1)) - 1);
template <class T>
constexpr T kLowest = T(-1) > T(0) ? T(0) : T(uint64_t(1) << (8 * sizeof(T) - 1));

// Bounds are rounded to From; where that moves them, the float at the bound saturates to the same integer.
template <class To, class From>
RL_INLINE To saturate(From x) {
  constexpr From above = From(double(kHighest<To>) + 1.0), below = From(double(kLowest<To>) - 1.0);
  const bool fits = x > below && x < above;
  const To inside = To(fits ? x : From(0));
  return x >= above ? kHighest<To> : x <= below ? kLowest<To> : inside;
}

template <class From, class To>
struct Casting {
  RL_INLINE static To cast(From x) {
    const auto value = to_number(x);
    if constexpr (__is_same(To, Bool)) {
      return {uint8_t(!is_zero(value))};
    } else if constexpr (__is_same(To, Half)) {
      return {narrow_f16(value)};
    } else if constexpr (is_float<From> && !is_float<To>) {
      return saturate<To>(value);
    } else {
      return To(value);
    }
  }
  RL_INLINE static To logical_not(From x) { return {uint8_t(is_zero(to_number(x)))}; }
  RL_INLINE static To neg(From x) { return To(0 - uint64_t(x)); }
  RL_INLINE static To abs(From x) { return x < 0 ? neg(x) : x; }
};

}  // namespace
}  // namespace rushlight
