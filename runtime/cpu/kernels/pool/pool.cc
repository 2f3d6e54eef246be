#include "kernels/pool/pool.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/pool/window.h"

namespace rushlight {

#define ROW(isa, symbol, op, types, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/pool/kernels.inc"
#undef ROW

namespace {

using P = PoolParams;

constexpr Field kFields[] = {
    RL_FIELD(P, 'i', images),
    RL_FIELD(P, 'i', c),
    RL_FIELD(P, 'i', ih),
    RL_FIELD(P, 'i', iw),
    RL_FIELD(P, 'i', oh),
    RL_FIELD(P, 'i', ow),
    RL_FIELD(P, 'i', kh),
    RL_FIELD(P, 'i', kw),
    RL_FIELD(P, 'i', sh),
    RL_FIELD(P, 'i', sw),
    RL_FIELD(P, 'i', ph),
    RL_FIELD(P, 'i', pw),
    RL_FIELD(P, 'i', dh),
    RL_FIELD(P, 'i', dw),
    RL_FIELD(P, 'i', pb),
    RL_FIELD(P, 'i', pr),
    RL_FIELD(P, 'i', count_include_pad),
    RL_FIELD(P, 'i', src_pixel),
    RL_FIELD(P, 'i', dst_pixel),
    RL_FIELD(P, 'i', src_zero_point),
    RL_FIELD(P, 'f', scale),
    RL_FIELD(P, 'f', offset),
    RL_FIELD(P, 'f', lo),
    RL_FIELD(P, 'f', hi),
};

constexpr Operand kOperands[] = {{"src", false}, {"dst", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/pool/kernels.inc"
#undef ROW
};

int64_t tasks(const Row&, const void* params) {
  const P& p = *static_cast<const P*>(params);
  return p.ow > 0 ? p.images * p.oh * pool_chunks(p) : 0;
}

double cost_ns(const Row& row, const void* params) {
  const P& p = *static_cast<const P*>(params);
  const double taps = double(p.images * p.oh * p.ow) * double(p.kh * p.kw) * double(p.c);
  return taps / (row.isa == Isa::generic ? 2.0 : 20.0);
}

size_t scratch_bytes(const Row&, const void*) { return 0; }

}  // namespace

extern const Family family_pool;
const Family family_pool = {
    "pool", kFields, std::size(kFields), sizeof(P), kOperands, std::size(kOperands), kRows, std::size(kRows),
    tasks,  cost_ns, scratch_bytes,      nullptr,   nullptr,
};

}  // namespace rushlight
