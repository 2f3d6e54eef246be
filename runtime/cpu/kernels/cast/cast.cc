#include "kernels/cast/cast.h"

#include <iterator>

#include "kernels/kernel.h"

namespace rushlight {

#define CAST(op, types, From, To)                          \
  void op##_##types##_avx2(const Call&, int64_t, int64_t); \
  void op##_##types##_neon(const Call&, int64_t, int64_t); \
  void op##_##types##_generic(const Call&, int64_t, int64_t);
#include "kernels/cast/kernels.inc"
#undef CAST

namespace {

constexpr Row kRows[] = {
#define ROW(op, types, isa) RL_ON_##isa({#op "_" #types "_" #isa, #op, #types, Isa::isa, 0, 0, op##_##types##_##isa}, )
#define CAST(op, types, From, To) ROW(op, types, avx2) ROW(op, types, neon) ROW(op, types, generic)
#include "kernels/cast/kernels.inc"
#undef CAST
};

constexpr Field kFields[] = {RL_FIELD(CastParams, 'i', n)};

constexpr Operand kOperands[] = {{"x", false}, {"out", true}};

int64_t n_of(const void* params) { return static_cast<const CastParams*>(params)->n; }

}  // namespace

extern const Family family_cast;
const Family family_cast = {
    .name = "cast",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(CastParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return (n_of(params) + kCastBlock - 1) / kCastBlock; },
    .cost_ns = [](const Row& row,
                  const void* params) { return (row.isa == Isa::generic ? 1.0 : 0.3) * double(n_of(params)); },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
