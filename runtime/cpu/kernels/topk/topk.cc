#include "kernels/topk/topk.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/topk/layout.h"
#include "kernels/vec/view.h"

namespace rushlight {

#define VECTOR(types, T)                                     \
  void topk_##types##_avx512(const Call&, int64_t, int64_t); \
  void topk_##types##_avx2(const Call&, int64_t, int64_t);   \
  void topk_##types##_neon(const Call&, int64_t, int64_t);   \
  void topk_##types##_generic(const Call&, int64_t, int64_t);
#define SCALAR(types, function) void topk_##types##_generic(const Call&, int64_t, int64_t);
#include "kernels/topk/kernels.inc"
#undef VECTOR
#undef SCALAR

namespace {

#define ROW(types, isa) RL_ON_##isa({"topk_" #types "_" #isa, "topk", #types, Isa::isa, 0, 0, topk_##types##_##isa}, )
constexpr Row kRows[] = {
#define VECTOR(types, T) ROW(types, avx512) ROW(types, avx2) ROW(types, neon) ROW(types, generic)
#define SCALAR(types, function) ROW(types, generic)
#include "kernels/topk/kernels.inc"
#undef VECTOR
#undef SCALAR
};

constexpr Field kFields[] = {
    RL_FIELD(TopkParams, 'i', outer), RL_FIELD(TopkParams, 'i', n),          RL_FIELD(TopkParams, 'i', inner),
    RL_FIELD(TopkParams, 'i', k),     RL_FIELD(TopkParams, 'i', descending),
};

constexpr Operand kOperands[] = {{"x", false}, {"values", true}, {"indices", true}};

const TopkParams& of(const void* params) { return *static_cast<const TopkParams*>(params); }

int64_t item_bytes(const Row& row) { return row.types[1] == '8' ? 1 : row.types[1] == '6' ? 8 : 4; }

}  // namespace

extern const Family family_topk;
const Family family_topk = {
    .name = "topk",
    .fields = kFields,
    .n_fields = std::size(kFields),
    .params_bytes = sizeof(TopkParams),
    .operands = kOperands,
    .n_operands = std::size(kOperands),
    .rows = kRows,
    .n_rows = std::size(kRows),
    .tasks = [](const Row&, const void* params) -> int64_t {
      const TopkParams& p = of(params);
      return p.k ? ReductionTasks{p.outer, p.n, p.inner}.count() : 0;
    },
    .cost_ns =
        [](const Row& row, const void* params) {
          const TopkParams& p = of(params);
          const double read = row.isa == Isa::generic ? 1.0 : 0.1, sorted = keeps_few(p) ? 0.0 : double(topk_room(p));
          return double(p.outer * p.inner) * (read * double(p.n) + 8.0 * sorted + 5.0 * double(p.k));
        },
    .scratch_bytes = [](const Row& row, const void* params) -> size_t {
      return size_t(TopkScratch(of(params), item_bytes(row)).bytes());
    },
    .packed_bytes = nullptr,
    .pack = nullptr,
};

}  // namespace rushlight
