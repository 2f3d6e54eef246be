#include "kernels/unary/unary.h"

#include <iterator>

namespace rushlight {

#define UNARY(op, ns)                                     \
  void op##_f32f32_avx512(const Call&, int64_t, int64_t); \
  void op##_f32f32_avx2(const Call&, int64_t, int64_t);   \
  void op##_f32f32_generic(const Call&, int64_t, int64_t);
#include "kernels/unary/kernels.inc"
#undef UNARY

namespace {

constexpr Row kRows[] = {
#define UNARY(op, ns)                                                           \
  {#op "_f32f32_avx512", #op, "f32f32", Isa::avx512, 0, 0, op##_f32f32_avx512}, \
      {#op "_f32f32_avx2", #op, "f32f32", Isa::avx2, 0, 0, op##_f32f32_avx2},   \
      {#op "_f32f32_generic", #op, "f32f32", Isa::generic, 0, 0, op##_f32f32_generic},
#include "kernels/unary/kernels.inc"
#undef UNARY
};

// Nanoseconds a thousand elements, three rows an op.
constexpr double kCost[] = {
#define UNARY(op, ns) ns, 2.0 * ns, 50.0 * ns,
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
