#include "kernels/range/range.h"

#include <iterator>

#include "kernels/kernel.h"

namespace rushlight {

#define RANGE(types, T) void range_##types##_generic(const Call&, int64_t, int64_t);
#include "kernels/range/kernels.inc"
#undef RANGE

namespace {

constexpr Row kRows[] = {
#define RANGE(types, T) {"range_" #types "_generic", "range", #types, Isa::generic, 0, 0, range_##types##_generic},
#include "kernels/range/kernels.inc"
#undef RANGE
};

constexpr Field kFields[] = {
    RL_FIELD(RangeParams, 'i', n),
    RL_FIELD(RangeParams, 'i', start),
    RL_FIELD(RangeParams, 'i', step),
};

constexpr Operand kOperands[] = {{"out", true}};

int64_t n_of(const void* params) { return static_cast<const RangeParams*>(params)->n; }

}  // namespace

extern const Family family_range;
const Family family_range = {
    .name = "range",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(RangeParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) { return (n_of(params) + kRangeBlock - 1) / kRangeBlock; },
    .cost_ns = [](const Row&, const void* params) { return 1.0 * double(n_of(params)); },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
