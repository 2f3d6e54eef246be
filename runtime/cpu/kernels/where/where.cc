#include "kernels/where/where.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {

#define WHERE(types, T, ns)                                   \
  void where_##types##_avx512(const Call&, int64_t, int64_t); \
  void where_##types##_avx2(const Call&, int64_t, int64_t);   \
  void where_##types##_neon(const Call&, int64_t, int64_t);   \
  void where_##types##_generic(const Call&, int64_t, int64_t);
#include "kernels/where/kernels.inc"
#undef WHERE

namespace {

#define ROW(types, isa) \
  RL_ON_##isa({"where_" #types "_" #isa, "where", #types, Isa::isa, 0, 0, where_##types##_##isa}, )
constexpr Row kRows[] = {
#define WHERE(types, T, ns) ROW(types, avx512) ROW(types, avx2) ROW(types, neon) ROW(types, generic)
#include "kernels/where/kernels.inc"
#undef WHERE
};

// Nanoseconds a thousand elements.
constexpr double kCost[] = {
#define WHERE(types, T, ns) RL_ON_avx512(ns, ) RL_ON_avx2(1.5 * ns, ) RL_ON_neon(3.0 * ns, ) 5.0 * ns,
#include "kernels/where/kernels.inc"
#undef WHERE
};

constexpr Field kFields[] = {
    RL_FIELD(WhereParams, 'i', rank),
    RL_FIELD(WhereParams, 'i', shape),
    RL_FIELD(WhereParams, 'i', condition_strides),
    RL_FIELD(WhereParams, 'i', a_strides),
    RL_FIELD(WhereParams, 'i', b_strides),
};

constexpr Operand kOperands[] = {{"condition", false}, {"a", false}, {"b", false}, {"out", true}};

}  // namespace

extern const Family family_where;
const Family family_where = {
    .name = "where",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(WhereParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return blocks_of<WhereParams>(params).tasks(); },
    .cost_ns =
        [](const Row& row, const void* params) {
          return kCost[&row - kRows] * 1e-3 * double(blocks_of<WhereParams>(params).elements());
        },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
