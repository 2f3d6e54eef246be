#include "kernels/index/index.h"

#include <iterator>

#include "kernels/kernel.h"

namespace rushlight {

#define GATHER(types, T) void gather_##types##_generic(const Call&, int64_t, int64_t);
#include "kernels/index/kernels.inc"
#undef GATHER

namespace {

constexpr Row kRows[] = {
#define GATHER(types, T) {"gather_" #types "_generic", "gather", #types, Isa::generic, 0, 0, gather_##types##_generic},
#include "kernels/index/kernels.inc"
#undef GATHER
};

constexpr Field kFields[] = {
    RL_FIELD(IndexParams, 'i', rank),         RL_FIELD(IndexParams, 'i', dims),  RL_FIELD(IndexParams, 'i', x_stride),
    RL_FIELD(IndexParams, 'i', index_stride), RL_FIELD(IndexParams, 'i', depth), RL_FIELD(IndexParams, 'i', point_size),
    RL_FIELD(IndexParams, 'i', point_stride), RL_FIELD(IndexParams, 'i', row),
};

constexpr Operand kOperands[] = {{"x", false}, {"index", false}, {"out", true}, {"fault", true}};

const IndexParams& of(const void* params) { return *static_cast<const IndexParams*>(params); }

}  // namespace

extern const Family family_index;
const Family family_index = {
    .name = "index",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(IndexParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) -> int64_t {
      const int64_t group = index_group(of(params));
      return of(params).row ? (index_rows(of(params)) + group - 1) / group : 0;
    },
    .cost_ns = [](const Row&,
                  const void* params) { return double(index_rows(of(params))) * (5.0 + 0.1 * double(of(params).row)); },
    .scratch_bytes = [](const Row&, const void*) -> size_t { return 0; },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
