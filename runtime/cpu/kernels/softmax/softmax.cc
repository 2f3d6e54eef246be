#include "kernels/softmax/softmax.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/view.h"

namespace rushlight {

#define SOFTMAX(op)                                       \
  void op##_f32f32_avx512(const Call&, int64_t, int64_t); \
  void op##_f32f32_avx2(const Call&, int64_t, int64_t);   \
  void op##_f32f32_neon(const Call&, int64_t, int64_t);   \
  void op##_f32f32_generic(const Call&, int64_t, int64_t);
#include "kernels/softmax/kernels.inc"
#undef SOFTMAX

namespace {

#define ROW(op, isa) RL_ON_##isa({#op "_f32f32_" #isa, #op, "f32f32", Isa::isa, 0, 0, op##_f32f32_##isa}, )
constexpr Row kRows[] = {
#define SOFTMAX(op) ROW(op, avx512) ROW(op, avx2) ROW(op, neon) ROW(op, generic)
#include "kernels/softmax/kernels.inc"
#undef SOFTMAX
};

constexpr Field kFields[] = {
    RL_FIELD(SoftmaxParams, 'i', outer),
    RL_FIELD(SoftmaxParams, 'i', n),
    RL_FIELD(SoftmaxParams, 'i', inner),
};

constexpr Operand kOperands[] = {{"x", false}, {"out", true}};

}  // namespace

extern const Family family_softmax;
const Family family_softmax = {
    .name = "softmax",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(SoftmaxParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks =
        [](const Row&, const void* params) {
          const auto& p = *static_cast<const SoftmaxParams*>(params);
          return ReductionTasks{p.outer, p.n, p.inner}.count();
        },
    .cost_ns =
        [](const Row& row, const void* params) {
          const auto& p = *static_cast<const SoftmaxParams*>(params);
          return (row.isa == Isa::generic ? 20.0 : 0.8) * double(p.outer * p.n * p.inner);
        },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
