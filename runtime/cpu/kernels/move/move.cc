#include "kernels/move/move.h"

#include <cstdlib>
#include <cstring>
#include <iterator>

#include "kernels/kernel.h"
#include "kernels/move/pad.h"
#include "kernels/move/walk.h"

namespace rushlight {

#define ROW(isa, symbol, op, types, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/move/kernels.inc"
#undef ROW

namespace {

using P = MoveParams;

constexpr Field kFields[] = {
    RL_FIELD(P, 'i', rank),     RL_FIELD(P, 'i', dims),  RL_FIELD(P, 'i', src_stride), RL_FIELD(P, 'i', dst_stride),
    RL_FIELD(P, 'i', src_dims), RL_FIELD(P, 'i', begin), RL_FIELD(P, 'i', value),
};

constexpr Operand kOperands[] = {{"src", false}, {"dst", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/move/kernels.inc"
#undef ROW
};

int64_t element_bytes(const Row& row) { return std::atoi(row.types + 1) / 8; }
bool is_copy(const Row& row) { return !std::strcmp(row.op, "copy"); }

int64_t tasks(const Row& row, const void* params) {
  const P& p = *static_cast<const P*>(params);
  if (is_copy(row)) return walk_tasks(plan_walk(p, element_bytes(row)));
  const PadRows split = split_pad(p);
  return ceil_div(split.rows, split.rows_per_task);
}

double cost_ns(const Row& row, const void* params) {
  const P& p = *static_cast<const P*>(params);
  double elements = 1;
  for (int64_t d = 0; d < p.rank; ++d) elements *= double(p.dims[d]);
  if (!is_copy(row)) return elements;
  const bool is_dense = plan_walk(p, element_bytes(row)).kind == Walk::kRows;
  return elements * (is_dense ? 0.05 * double(element_bytes(row)) : 0.5);
}

size_t scratch_bytes(const Row&, const void*) { return 0; }

}  // namespace

extern const Family family_move;
const Family family_move = {
    "move", kFields, std::size(kFields), sizeof(P), kOperands, std::size(kOperands), kRows, std::size(kRows),
    tasks,  cost_ns, scratch_bytes,      nullptr,   nullptr,
};

}  // namespace rushlight
