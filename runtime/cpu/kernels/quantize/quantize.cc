#include "kernels/quantize/quantize.h"

#include <cstring>
#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {

#define QUANTIZE(op, types, Quantized)                       \
  void op##_##types##_avx512(const Call&, int64_t, int64_t); \
  void op##_##types##_avx2(const Call&, int64_t, int64_t);   \
  void op##_##types##_neon(const Call&, int64_t, int64_t);   \
  void op##_##types##_generic(const Call&, int64_t, int64_t);
#define PLANES(types, Quantized) QUANTIZE(quantize_planes, types, Quantized)
#include "kernels/quantize/kernels.inc"
#undef QUANTIZE
void qlut_u8u8u8_avx512vnni(const Call&, int64_t, int64_t);
void qlut_u8u8u8_avx512(const Call&, int64_t, int64_t);
void qlut_u8u8u8_avx2(const Call&, int64_t, int64_t);
void qlut_u8u8u8_neon(const Call&, int64_t, int64_t);
void qlut_u8u8u8_generic(const Call&, int64_t, int64_t);

namespace {

#define ROW(op, types, isa) RL_ON_##isa({#op "_" #types "_" #isa, #op, #types, Isa::isa, 0, 0, op##_##types##_##isa}, )
constexpr Row kRows[] = {
#define QUANTIZE(op, types, Quantized) \
  ROW(op, types, avx512) ROW(op, types, avx2) ROW(op, types, neon) ROW(op, types, generic)
#include "kernels/quantize/kernels.inc"
#undef PLANES
#undef QUANTIZE
    ROW(qlut, u8u8u8, avx512vnni) ROW(qlut, u8u8u8, avx512) ROW(qlut, u8u8u8, avx2) ROW(qlut, u8u8u8, neon)
        ROW(qlut, u8u8u8, generic)};

constexpr Field kFields[] = {
    RL_FIELD(QuantizeParams, 'i', rank),
    RL_FIELD(QuantizeParams, 'i', shape),
    RL_FIELD(QuantizeParams, 'i', scale_strides),
};

constexpr Operand kOperands[] = {{"x", false}, {"scale", false}, {"zero_point", false}, {"out", true}};

}  // namespace

extern const Family family_quantize;
const Family family_quantize = {
    .name = "quantize",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(QuantizeParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return blocks_of<QuantizeParams>(params).tasks(); },
    .cost_ns =
        [](const Row& row, const void* params) {
          const double elements = double(blocks_of<QuantizeParams>(params).elements());
          if (std::strcmp(row.op, "qlut")) return (row.isa == Isa::generic ? 1.0 : 0.2) * elements;
          return (row.isa == Isa::generic ? 0.33 : row.isa == Isa::avx512vnni ? 0.03 : 0.12) * elements;
        },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
