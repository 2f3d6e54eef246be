// The family kernels/binary of the CPU: OPS names the functions of a kernel, OP(add)OP(sub)..., which p.op counts.
// OPERAND is what they read, RESULT what they write. WIDEST elements are taken at a time. IS_FLOAT: the functions are
// those of the FLOAT rows. Grid: any number of blocks of 256 threads.
#include "axes.cuh"
#include "fmod.cuh"
#include "kernels/binary/functions.h"
#include "kernels/binary/scalar.h"

using namespace rushlight;

#if IS_FLOAT
#define APPLY(name) binary::name(V{left}, V{right}).lane
#else
#define APPLY(name) rushlight::name(left, right)
#endif

namespace {

#define OP(name) k_##name,
enum Op { OPS };
#undef OP

using Value = OPERAND;

constexpr bool kIsBoolean = __is_same(Value, bool);

template <class Element>
struct Stored {
  using type = Element;
};
template <>
struct Stored<bool> {
  using type = uint8_t;
};
using Bits = Stored<Value>::type;

static_assert(sizeof(RESULT) <= sizeof(Value));

DEVICE Value value_of(Bits x) {
  if constexpr (kIsBoolean) return x != 0;
  return x;
}

}  // namespace

struct BinaryCall {
  const Bits* a;
  const Bits* b;
  RESULT* out;
  Axes axes;  // of a and b
  int32_t op;
};

KERNEL(binary_map, kUnitThreads, 1, BinaryCall) {
  const bool a_varies = varies(p.axes, 0), b_varies = varies(p.axes, 1);
  map_elements<2, WIDEST>(p.axes, [&]<int N>(int64_t to, const Offsets<2>& from) {
    const auto a = read_pack<N>(p.a + from.of[0], a_varies);
    const auto b = read_pack<N>(p.b + from.of[1], b_varies);
    Pack<RESULT, N> out;
#define OP(name)                                                           \
  case k_##name:                                                           \
    _Pragma("unroll") for (int i = 0; i < N; ++i) {                        \
      const Value left = value_of(a.lane[i]), right = value_of(b.lane[i]); \
      out.lane[i] = static_cast<RESULT>(APPLY(name));                      \
    }                                                                      \
    break;
    switch (p.op) { OPS }
#undef OP
    write_pack(p.out + to, out);
  });
}
