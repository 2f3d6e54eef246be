// The ISA files' template: plain loops, which the compiler vectorizes for each.
#pragma once

#include "kernels/cast/cast.h"
#include "kernels/kernel.h"
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
      return {uint8_t(value != 0)};
    } else if constexpr (__is_same(To, Half)) {
      return {narrow_f16(value)};
    } else if constexpr (is_float<From> && !is_float<To>) {
      return saturate<To>(value);
    } else {
      return To(value);
    }
  }
  RL_INLINE static To logical_not(From x) { return {uint8_t(to_number(x) == 0)}; }
  RL_INLINE static To neg(From x) { return To(0 - uint64_t(x)); }
  RL_INLINE static To abs(From x) { return x < 0 ? neg(x) : x; }
};

template <class From, class To, class Op>
RL_INLINE void convert(const Call& call, int64_t begin, int64_t end, Op op) {
  const auto& p = *static_cast<const CastParams*>(call.params);
  const From* x = static_cast<const From*>(call.operand[0]);
  To* out = static_cast<To*>(call.operand[1]);
  const int64_t stop = end * kCastBlock < p.n ? end * kCastBlock : p.n;
  for (int64_t i = begin * kCastBlock; i < stop; ++i) out[i] = op(x[i]);
}

}  // namespace

#define CAST(op, types, From, To)                                                         \
  void RL_ROW(op##_##types)(const Call& call, int64_t begin, int64_t end) {               \
    convert<From, To>(call, begin, end, [](From x) { return Casting<From, To>::op(x); }); \
  }
#include "kernels/cast/kernels.inc"
#undef CAST

}  // namespace rushlight
