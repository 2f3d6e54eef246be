// Ranks: unsigned integers in the order of the elements, for kernels of CPUs and GPUs. The lower rank comes first.
#pragma once

#include <cstdint>

namespace rushlight {
namespace {

// How an element of type T lies in memory, its rank in ascending order.
template <class T>
struct Element;

template <class B, class R, R First>
struct Integer {
  using Bits = B;
  using Rank = R;
  static constexpr R ascending(B x) { return R(R(x) ^ First); }
};
template <>
struct Element<int64_t> : Integer<int64_t, uint64_t, uint64_t(1) << 63> {};
template <>
struct Element<int32_t> : Integer<int32_t, uint32_t, uint32_t(1) << 31> {};
template <>
struct Element<int8_t> : Integer<int8_t, uint8_t, 0x80> {};
template <>
struct Element<uint8_t> : Integer<uint8_t, uint8_t, 0> {};

// Magnitudes of negative numbers count down from zero, so that both zeros meet.
template <>
struct Element<float> {
  using Bits = int32_t;
  using Rank = uint32_t;
  static constexpr uint32_t ascending(int32_t x) {
    const uint32_t sign = uint32_t(1) << 31, magnitude = uint32_t(x) & ~sign;
    if (magnitude > 0x7F800000) return ~uint32_t(0);  // NaN
    return x < 0 ? sign - magnitude : sign + magnitude;
  }
};

template <class T>
constexpr typename Element<T>::Rank rank_of(typename Element<T>::Bits x, bool descending) {
  using Rank = typename Element<T>::Rank;
  const Rank rank = Element<T>::ascending(x);
  return descending ? Rank(~rank) : rank;
}

}  // namespace
}  // namespace rushlight
