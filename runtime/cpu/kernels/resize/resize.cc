#include "kernels/resize/resize.h"

#include <iterator>

#include "kernels/kernel.h"
#include "kernels/resize/taps.h"

namespace rushlight {

#define ROW(isa, symbol, op, types, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/resize/kernels.inc"
#undef ROW

namespace {

using P = ResizeParams;

constexpr Field kFields[] = {
    RL_FIELD(P, 'i', images),  RL_FIELD(P, 'i', c),       RL_FIELD(P, 'i', ih),          RL_FIELD(P, 'i', iw),
    RL_FIELD(P, 'i', oh),      RL_FIELD(P, 'i', ow),      RL_FIELD(P, 'i', coordinates), RL_FIELD(P, 'i', rounding),
    RL_FIELD(P, 'd', scale_h), RL_FIELD(P, 'd', scale_w),
};

constexpr Operand kOperands[] = {{"src", false}, {"dst", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/resize/kernels.inc"
#undef ROW
};

int64_t tasks(const Row&, const void* params) {
  const P& p = *static_cast<const P*>(params);
  return p.ow > 0 && p.c > 0 ? p.images * p.oh : 0;
}

double cost_ns(const Row& row, const void* params) {
  const P& p = *static_cast<const P*>(params);
  const double elements = double(p.images * p.oh * p.ow) * double(p.c);
  return elements * (row.op[0] == 'n' ? 0.1 : row.op[0] == 'l' ? 0.5 : 2.0);
}

size_t scratch_bytes(const Row&, const void* params) {
  return size_t(static_cast<const P*>(params)->ow) * sizeof(Taps<4>);
}

}  // namespace

extern const Family family_resize;
const Family family_resize = {
    "resize", kFields, std::size(kFields), sizeof(P), kOperands, std::size(kOperands), kRows, std::size(kRows),
    tasks,    cost_ns, scratch_bytes,      nullptr,   nullptr,
};

}  // namespace rushlight
