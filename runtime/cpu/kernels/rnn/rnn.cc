#include "kernels/rnn/rnn.h"

#include <iterator>

#include "kernels/kernel.h"

namespace rushlight {

#define ROW(isa, symbol, op, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/rnn/kernels.inc"
#undef ROW

namespace {

using P = RnnParams;

constexpr Field kFields[] = {
    RL_FIELD(P, 'i', steps),  RL_FIELD(P, 'i', rows),       RL_FIELD(P, 'i', hidden),
    RL_FIELD(P, 'i', x_step), RL_FIELD(P, 'i', x_row),      RL_FIELD(P, 'i', y_step),
    RL_FIELD(P, 'i', y_row),  RL_FIELD(P, 'i', is_reverse), RL_FIELD(P, 'i', linear_before_reset),
};

constexpr Operand kOperands[] = {{"x", false},  {"weight", false}, {"bias", false}, {"h0", false},
                                 {"c0", false}, {"y", true},       {"hn", true},    {"cn", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, mr, nr) {#symbol, op, "f32", Isa::isa, mr, nr, symbol},
#include "kernels/rnn/kernels.inc"
#undef ROW
};

const P& params_of(const void* params) { return *static_cast<const P*>(params); }
int64_t gates_of(const Row& row) { return row.op[0] == 'l' ? 4 : 3; }

int64_t tasks(const Row& row, const void* params) { return (params_of(params).rows + row.mr - 1) / row.mr; }

double cost_ns(const Row& row, const void* params) {
  const P& p = params_of(params);
  return double(p.steps * p.rows * gates_of(row)) * double(p.hidden) * double(p.hidden + 20) / 16.0;
}

size_t scratch_bytes(const Row& row, const void* params) {
  return size_t(row.mr * params_of(params).hidden) * sizeof(float);
}

int64_t tiles_of(const Row& row, const P& p) { return (p.hidden + row.nr - 1) / row.nr; }

size_t packed_bytes(const Row& row, const void* params) {
  const P& p = params_of(params);
  return size_t(tiles_of(row, p) * p.hidden * gates_of(row) * row.nr) * sizeof(float);
}

void pack(const Row& row, const void* params, const void* src, void* dst) {
  const P& p = params_of(params);
  const auto* const weight = static_cast<const float*>(src);
  auto* to = static_cast<float*>(dst);
  for (int64_t tile = 0; tile < tiles_of(row, p); ++tile)
    for (int64_t k = 0; k < p.hidden; ++k)
      for (int64_t g = 0; g < gates_of(row); ++g)
        for (int64_t j = tile * row.nr; j < (tile + 1) * row.nr; ++j)
          *to++ = j < p.hidden ? weight[(g * p.hidden + j) * p.hidden + k] : 0.0f;
}

}  // namespace

extern const Family family_rnn;
const Family family_rnn = {
    "rnn", kFields, std::size(kFields), sizeof(P),    kOperands, std::size(kOperands), kRows, std::size(kRows),
    tasks, cost_ns, scratch_bytes,      packed_bytes, pack,
};

}  // namespace rushlight
