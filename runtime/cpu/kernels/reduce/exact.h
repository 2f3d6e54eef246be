// What exact reductions combine with, in any order, for the SCALAR rows and CUDA kernels.
#pragma once

#include "kernels/reduce/reduce.h"

namespace rushlight {
namespace {

template <class T>
constexpr T kGreatest = T((uint64_t(1) << (8 * sizeof(T) - 1)) - 1);
template <class T>
constexpr T kLeast = T(-kGreatest<T> - 1);

template <class T>
struct Sum {
  static constexpr T identity = 0;
  static T combine(T a, T b) { return T(uint64_t(a) + uint64_t(b)); }
};
template <class T>
struct Product {
  static constexpr T identity = 1;
  static T combine(T a, T b) { return T(uint64_t(a) * uint64_t(b)); }
};
template <class T>
struct Maximum {
  static constexpr T identity = kLeast<T>;
  static T combine(T a, T b) { return a > b ? a : b; }
  static bool is_better(T a, T b) { return a > b; }
};
template <class T>
struct Minimum {
  static constexpr T identity = kGreatest<T>;
  static T combine(T a, T b) { return a < b ? a : b; }
  static bool is_better(T a, T b) { return a < b; }
};
template <class T>
struct Any {
  static constexpr T identity = 0;
  static T combine(T a, T b) { return T(a != 0 || b != 0); }
};
template <class T>
struct All {
  static constexpr T identity = 1;
  static T combine(T a, T b) { return T(a != 0 && b != 0); }
};

}  // namespace
}  // namespace rushlight
