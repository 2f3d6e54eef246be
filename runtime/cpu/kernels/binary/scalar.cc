// The SCALAR rows.
#include "kernels/binary/scalar.h"

#include <type_traits>

#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {
namespace {

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
