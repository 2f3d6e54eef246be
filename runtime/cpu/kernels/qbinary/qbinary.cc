#include "kernels/qbinary/qbinary.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {

#define QBINARY(op)                                       \
  void op##_u8u8u8_avx512(const Call&, int64_t, int64_t); \
  void op##_u8u8u8_avx2(const Call&, int64_t, int64_t);   \
  void op##_u8u8u8_neon(const Call&, int64_t, int64_t);   \
  void op##_u8u8u8_generic(const Call&, int64_t, int64_t);
#include "kernels/qbinary/kernels.inc"
#undef QBINARY

namespace {

#define ROW(op, isa) RL_ON_##isa({#op "_u8u8u8_" #isa, #op, "u8u8u8", Isa::isa, 0, 0, op##_u8u8u8_##isa}, )
constexpr Row kRows[] = {
#define QBINARY(op) ROW(op, avx512) ROW(op, avx2) ROW(op, neon) ROW(op, generic)
#include "kernels/qbinary/kernels.inc"
#undef QBINARY
};

constexpr Field kFields[] = {
    RL_FIELD(QbinaryParams, 'i', rank),         RL_FIELD(QbinaryParams, 'i', shape),
    RL_FIELD(QbinaryParams, 'i', a_strides),    RL_FIELD(QbinaryParams, 'i', b_strides),
    RL_FIELD(QbinaryParams, 'i', a_zero_point), RL_FIELD(QbinaryParams, 'i', b_zero_point),
    RL_FIELD(QbinaryParams, 'f', a_scale),      RL_FIELD(QbinaryParams, 'f', b_scale),
    RL_FIELD(QbinaryParams, 'f', scale),        RL_FIELD(QbinaryParams, 'f', offset),
    RL_FIELD(QbinaryParams, 'f', qmin),         RL_FIELD(QbinaryParams, 'f', qmax),
};

constexpr Operand kOperands[] = {{"a", false}, {"b", false}, {"out", true}};

}  // namespace

extern const Family family_qbinary;
const Family family_qbinary = {
    .name = "qbinary",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(QbinaryParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return blocks_of<QbinaryParams>(params).tasks(); },
    .cost_ns =
        [](const Row& row, const void* params) {
          return (row.isa == Isa::generic ? 2.0 : 0.2) * double(blocks_of<QbinaryParams>(params).elements());
        },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
