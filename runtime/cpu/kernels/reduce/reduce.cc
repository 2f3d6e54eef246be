#include "kernels/reduce/reduce.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/view.h"

namespace rushlight {

#define FLOAT(op, types, function)                           \
  void op##_##types##_avx512(const Call&, int64_t, int64_t); \
  void op##_##types##_avx2(const Call&, int64_t, int64_t);   \
  void op##_##types##_neon(const Call&, int64_t, int64_t);   \
  void op##_##types##_generic(const Call&, int64_t, int64_t);
#define SCALAR(op, types, function) void op##_##types##_generic(const Call&, int64_t, int64_t);
#include "kernels/reduce/kernels.inc"
#undef FLOAT
#undef SCALAR

namespace {

#define ROW(op, types, isa) RL_ON_##isa({#op "_" #types "_" #isa, #op, #types, Isa::isa, 0, 0, op##_##types##_##isa}, )
constexpr Row kRows[] = {
#define FLOAT(op, types, function) \
  ROW(op, types, avx512) ROW(op, types, avx2) ROW(op, types, neon) ROW(op, types, generic)
#define SCALAR(op, types, function) ROW(op, types, generic)
#include "kernels/reduce/kernels.inc"
#undef FLOAT
#undef SCALAR
};

constexpr Field kFields[] = {
    RL_FIELD(ReduceParams, 'i', outer),
    RL_FIELD(ReduceParams, 'i', n),
    RL_FIELD(ReduceParams, 'i', inner),
};

constexpr Operand kOperands[] = {{"x", false}, {"out", true}};

}  // namespace

extern const Family family_reduce;
const Family family_reduce = {
    .name = "reduce",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(ReduceParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks =
        [](const Row&, const void* params) {
          const auto& p = *static_cast<const ReduceParams*>(params);
          return ReductionTasks{p.outer, p.n, p.inner}.count();
        },
    .cost_ns =
        [](const Row& row, const void* params) {
          const auto& p = *static_cast<const ReduceParams*>(params);
          return (row.isa == Isa::generic ? 1.0 : 0.15) * double(p.outer * p.n * p.inner);
        },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
