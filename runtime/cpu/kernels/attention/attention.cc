#include "kernels/attention/attention.h"

#include <iterator>

#include "kernels/attention/block.h"
#include "kernels/attention/fields.h"
#include "kernels/kernel.h"

namespace rushlight {

#define ROW(isa, symbol, op, types, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/attention/kernels.inc"
#undef ROW

namespace {

using P = AttentionParams;

constexpr Field kFields[] = {
    RL_ATTENTION_FIELDS(P),
    RL_FIELD(P, 'f', scale),
};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/attention/kernels.inc"
#undef ROW
};

int64_t tasks(const Row&, const void* params) { return tasks_of(*static_cast<const P*>(params)); }

double cost_ns(const Row& row, const void* params) {
  const P& p = *static_cast<const P*>(params);
  const double scores = double(p.images * p.windows * p.q_heads) * double(p.lq) * double(p.lk);
  return scores * (double(p.d + p.dv) / 64.0 + 0.5) * (row.isa == Isa::generic ? 20.0 : 1.0);
}

// Whether there are row numbers, the parameters do not say.
size_t scratch_bytes(const Row&, const void* params) {
  return size_t(lay_out_scratch(*static_cast<const P*>(params), true).end) * sizeof(float);
}

}  // namespace

extern const Family family_attention;
const Family family_attention = {
    "attention",
    kFields,
    std::size(kFields),
    sizeof(P),
    kAttentionOperands,
    std::size(kAttentionOperands),
    kRows,
    std::size(kRows),
    tasks,
    cost_ns,
    scratch_bytes,
    nullptr,
    nullptr,
};

}  // namespace rushlight
