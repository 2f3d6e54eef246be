#include "kernels/unary/unary.h"

#include <iterator>

#include "kernels/kernel.h"

namespace rushlight {

#define UNARY(op, ns)                                     \
  void op##_f32f32_avx512(const Call&, int64_t, int64_t); \
  void op##_f32f32_avx2(const Call&, int64_t, int64_t);   \
  void op##_f32f32_neon(const Call&, int64_t, int64_t);   \
  void op##_f32f32_generic(const Call&, int64_t, int64_t);
#include "kernels/unary/kernels.inc"
#undef UNARY

namespace {

constexpr Row kRows[] = {
#define ROW(op, isa) RL_ON_##isa({#op "_f32f32_" #isa, #op, "f32f32", Isa::isa, 0, 0, op##_f32f32_##isa}, )
#define UNARY(op, ns) ROW(op, avx512) ROW(op, avx2) ROW(op, neon) ROW(op, generic)
#include "kernels/unary/kernels.inc"
#undef UNARY
};

// Nanoseconds a thousand elements, for each row.
constexpr double kCost[] = {
#define UNARY(op, ns) RL_ON_avx512(ns, ) RL_ON_avx2(2.0 * ns, ) RL_ON_neon(4.0 * ns, ) 50.0 * ns,
#include "kernels/unary/kernels.inc"
#undef UNARY
};

constexpr Field kFields[] = {
    RL_FIELD(UnaryParams, 'i', n),
    RL_FIELD(UnaryParams, 'f', alpha),
    RL_FIELD(UnaryParams, 'f', beta),
};

constexpr Operand kOperands[] = {{"x", false}, {"out", true}};

int64_t n_of(const void* params) { return static_cast<const UnaryParams*>(params)->n; }

}  // namespace

extern const Family family_unary;
const Family family_unary = {
    .name = "unary",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(UnaryParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return (n_of(params) + kUnaryBlock - 1) / kUnaryBlock; },
    .cost_ns = [](const Row& row, const void* params) { return kCost[&row - kRows] * 1e-3 * double(n_of(params)); },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
