#include "kernels/fma/fma.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {

#define ROW(isa, symbol) void symbol(const Call&, int64_t, int64_t);
#include "kernels/fma/kernels.inc"
#undef ROW

namespace {

constexpr Row kRows[] = {
#define ROW(isa, symbol) RL_ON_##isa({#symbol, "fma", "f32f32f32f32", Isa::isa, 0, 0, symbol}, )
#include "kernels/fma/kernels.inc"
#undef ROW
};

constexpr Field kFields[] = {
    RL_FIELD(FmaParams, 'i', rank),           RL_FIELD(FmaParams, 'i', shape),
    RL_FIELD(FmaParams, 'i', x_strides),      RL_FIELD(FmaParams, 'i', scale_strides),
    RL_FIELD(FmaParams, 'i', offset_strides), RL_FIELD(FmaParams, 'i', activation),
    RL_FIELD(FmaParams, 'f', alpha),          RL_FIELD(FmaParams, 'f', beta),
};

constexpr Operand kOperands[] = {{"x", false}, {"scale", false}, {"offset", false}, {"out", true}};

}  // namespace

extern const Family family_fma;
const Family family_fma = {
    .name = "fma",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(FmaParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return blocks_of<FmaParams>(params).tasks(); },
    .cost_ns =
        [](const Row& row, const void* params) {
          return (row.isa == Isa::generic ? 1.0 : 0.1) * double(blocks_of<FmaParams>(params).elements());
        },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
