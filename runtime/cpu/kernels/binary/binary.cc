#include "kernels/binary/binary.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {

#define FLOAT(op, types, Result, ns)                         \
  void op##_##types##_avx512(const Call&, int64_t, int64_t); \
  void op##_##types##_avx2(const Call&, int64_t, int64_t);   \
  void op##_##types##_neon(const Call&, int64_t, int64_t);   \
  void op##_##types##_generic(const Call&, int64_t, int64_t);
#define SCALAR(op, types, T, Result) void op##_##types##_generic(const Call&, int64_t, int64_t);
#include "kernels/binary/kernels.inc"
#undef FLOAT
#undef SCALAR

namespace {

#define ROW(op, types, isa) RL_ON_##isa({#op "_" #types "_" #isa, #op, #types, Isa::isa, 0, 0, op##_##types##_##isa}, )
constexpr Row kRows[] = {
#define FLOAT(op, types, Result, ns) \
  ROW(op, types, avx512) ROW(op, types, avx2) ROW(op, types, neon) ROW(op, types, generic)
#define SCALAR(op, types, T, Result) ROW(op, types, generic)
#include "kernels/binary/kernels.inc"
#undef FLOAT
#undef SCALAR
};

// Nanoseconds a thousand elements.
constexpr double kCost[] = {
#define FLOAT(op, types, Result, ns) RL_ON_avx512(ns, ) RL_ON_avx2(1.5 * ns, ) RL_ON_neon(3.0 * ns, ) 10.0 * ns,
#define SCALAR(op, types, T, Result) 1000,
#include "kernels/binary/kernels.inc"
#undef FLOAT
#undef SCALAR
};

constexpr Field kFields[] = {
    RL_FIELD(BinaryParams, 'i', rank),
    RL_FIELD(BinaryParams, 'i', shape),
    RL_FIELD(BinaryParams, 'i', a_strides),
    RL_FIELD(BinaryParams, 'i', b_strides),
};

constexpr Operand kOperands[] = {{"a", false}, {"b", false}, {"out", true}};

}  // namespace

extern const Family family_binary;
const Family family_binary = {
    .name = "binary",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(BinaryParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return blocks_of<BinaryParams>(params).tasks(); },
    .cost_ns =
        [](const Row& row, const void* params) {
          return kCost[&row - kRows] * 1e-3 * double(blocks_of<BinaryParams>(params).elements());
        },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
