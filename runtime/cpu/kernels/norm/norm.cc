#include "kernels/norm/norm.h"

#include <cstring>
#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/view.h"

namespace rushlight {

#define NORM(op)                                          \
  void op##_f32f32_avx512(const Call&, int64_t, int64_t); \
  void op##_f32f32_avx2(const Call&, int64_t, int64_t);   \
  void op##_f32f32_neon(const Call&, int64_t, int64_t);   \
  void op##_f32f32_generic(const Call&, int64_t, int64_t);
#include "kernels/norm/kernels.inc"
#undef NORM

namespace {

#define ROW(op, isa) RL_ON_##isa({#op "_f32f32_" #isa, #op, "f32f32", Isa::isa, 0, 0, op##_f32f32_##isa}, )
constexpr Row kRows[] = {
#define NORM(op) ROW(op, avx512) ROW(op, avx2) ROW(op, neon) ROW(op, generic)
#include "kernels/norm/kernels.inc"
#undef NORM
};

constexpr Field kFields[] = {
    RL_FIELD(NormParams, 'i', outer), RL_FIELD(NormParams, 'i', spatial), RL_FIELD(NormParams, 'i', groups),
    RL_FIELD(NormParams, 'i', n),     RL_FIELD(NormParams, 'f', eps),
};

constexpr Operand kOperands[] = {{"x", false}, {"weight", false}, {"bias", false}, {"out", true}};

bool is_group_norm(const Row& row) { return std::strcmp(row.op, "group_norm") == 0; }

}  // namespace

extern const Family family_norm;
const Family family_norm = {
    .name = "norm",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(NormParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks =
        [](const Row& row, const void* params) {
          const auto& p = *static_cast<const NormParams*>(params);
          if (!is_group_norm(row)) return ReductionTasks{p.outer, p.n, 1}.count();
          return p.outer * ((p.groups + groups_a_task(p) - 1) / groups_a_task(p));
        },
    .cost_ns =
        [](const Row& row, const void* params) {
          const auto& p = *static_cast<const NormParams*>(params);
          return (row.isa == Isa::generic ? 10.0 : 0.4) * double(p.outer * p.spatial * p.groups * p.n);
        },
    .scratch_bytes = [](const Row& row, const void* params) -> size_t {
      const auto& p = *static_cast<const NormParams*>(params);
      return is_group_norm(row) ? size_t(2 * groups_a_task(p) * p.n) * sizeof(float) : 0;
    },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
