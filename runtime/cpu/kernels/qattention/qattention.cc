#include "kernels/qattention/qattention.h"

#include <iterator>

#include "kernels/attention/fields.h"
#include "kernels/kernel.h"
#include "kernels/qattention/block.h"

namespace rushlight {

#define ROW(isa, symbol, op, types, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/qattention/kernels.inc"
#undef ROW

namespace {

using P = QAttentionParams;

constexpr Field kFields[] = {
    RL_ATTENTION_FIELDS(P),         RL_FIELD(P, 'i', q_zero_point), RL_FIELD(P, 'i', k_zero_point),
    RL_FIELD(P, 'i', v_zero_point), RL_FIELD(P, 'i', qmin),         RL_FIELD(P, 'i', qmax),
    RL_FIELD(P, 'f', score_scale),  RL_FIELD(P, 'f', scale),        RL_FIELD(P, 'f', offset),
};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/qattention/kernels.inc"
#undef ROW
};

int64_t tasks(const Row&, const void* params) { return tasks_of(*static_cast<const P*>(params)); }

double cost_ns(const Row& row, const void* params) {
  const P& p = *static_cast<const P*>(params);
  const double heads = double(p.images * p.windows * p.q_heads), scores = heads * double(p.lq) * double(p.lk);
  if (row.isa == Isa::generic) return scores * (double(p.d + p.dv) / 3.0 + 10.0);
  const bool has_dots = row.isa == Isa::avx512vnni || row.isa == Isa::avxvnni;
  return scores * (double(p.d + p.dv) / (has_dots ? 240.0 : 80.0) + 0.3) + heads * double(p.lq + p.lk) * 10.0;
}

// As much as the widest numbers take.
size_t scratch_bytes(const Row&, const void* params) {
  return size_t(lay_out_scratch(*static_cast<const P*>(params), sizeof(int16_t)).end);
}

}  // namespace

extern const Family family_qattention;
const Family family_qattention = {
    "qattention",
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
