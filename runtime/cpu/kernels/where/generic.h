// The ISA files' template: plain loops, which the compiler vectorizes for each.
#pragma once

#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"
#include "kernels/vec/vec.h"
#include "kernels/where/where.h"

namespace rushlight {
namespace {

template <int kCondition, int kA, int kB, class T>
RL_INLINE void choose_row(const uint8_t* condition, const T* a, const T* b, T* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T x = a[i * kA], y = b[i * kB];
    out[i] = condition[i * kCondition] ? x : y;
  }
}

template <class T>
RL_INLINE void choose(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const WhereParams*>(call.params);
  const uint8_t* condition = static_cast<const uint8_t*>(call.operand[0]);
  const T* a = static_cast<const T*>(call.operand[1]);
  const T* b = static_cast<const T*>(call.operand[2]);
  T* out = static_cast<T*>(call.operand[3]);
  const int64_t* const strides[] = {p.condition_strides, p.a_strides, p.b_strides};
  const int64_t last = p.rank - 1;
  const int varying = (p.condition_strides[last] != 0) * 4 + (p.a_strides[last] != 0) * 2 + (p.b_strides[last] != 0);
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[3], int64_t n) {
    const uint8_t* c = condition + from[0];
    const T *x = a + from[1], *y = b + from[2];
    T* o = out + to;
    switch (varying) {
      case 0: return choose_row<0, 0, 0>(c, x, y, o, n);
      case 1: return choose_row<0, 0, 1>(c, x, y, o, n);
      case 2: return choose_row<0, 1, 0>(c, x, y, o, n);
      case 3: return choose_row<0, 1, 1>(c, x, y, o, n);
      case 4: return choose_row<1, 0, 0>(c, x, y, o, n);
      case 5: return choose_row<1, 0, 1>(c, x, y, o, n);
      case 6: return choose_row<1, 1, 0>(c, x, y, o, n);
      case 7: return choose_row<1, 1, 1>(c, x, y, o, n);
    }
  });
}

}  // namespace

#define WHERE(types, T, ns) \
  void RL_ROW(where_##types)(const Call& call, int64_t begin, int64_t end) { choose<T>(call, begin, end); }
#include "kernels/where/kernels.inc"
#undef WHERE

}  // namespace rushlight
