#include "kernels/rnn/rnn.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernels/kernel.h"

namespace rushlight {

#define ROW(isa, symbol, op, types, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/rnn/kernels.inc"
#undef ROW

namespace {

using P = RnnParams;

constexpr Field kFields[] = {
    RL_FIELD(P, 'i', steps),  RL_FIELD(P, 'i', rows),       RL_FIELD(P, 'i', hidden),
    RL_FIELD(P, 'i', x_step), RL_FIELD(P, 'i', x_row),      RL_FIELD(P, 'i', y_step),
    RL_FIELD(P, 'i', y_row),  RL_FIELD(P, 'i', is_reverse), RL_FIELD(P, 'i', linear_before_reset),
    RL_FIELD(P, 'i', inputs), RL_FIELD(P, 'f', levels),
};

constexpr Operand kOperands[] = {
    {"x", false},  {"input_weight", false}, {"input_bias", false}, {"weight", false}, {"scale", false}, {"bias", false},
    {"h0", false}, {"c0", false},           {"y", true},           {"hn", true},      {"cn", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/rnn/kernels.inc"
#undef ROW
};

const P& params_of(const void* params) { return *static_cast<const P*>(params); }
bool is_integer(const Row& row) { return row.op[0] == 'q'; }
int gates_of(const Row& row) { return row.op[is_integer(row)] == 'l' ? 4 : 3; }
bool is_layer(const Row& row) { return std::strcmp(row.op, "lstm") == 0 || std::strcmp(row.op, "gru") == 0; }
int64_t packed_rows(const P& p) { return p.inputs ? p.inputs : p.hidden; }
int64_t depth_of(const Row& row) { return row.isa == Isa::avxvnni || row.isa == Isa::avx512vnni ? 4 : 2; }

int64_t tasks(const Row& row, const void* params) { return (params_of(params).rows + row.mr - 1) / row.mr; }

double cost_ns(const Row& row, const void* params) {
  const P& p = params_of(params);
  return double(p.steps * p.rows * gates_of(row)) * double(p.hidden) * double(p.hidden + p.inputs + 20) / 16.0;
}

size_t scratch_bytes(const Row& row, const void* params) {
  const P& p = params_of(params);
  const int gates = gates_of(row);
  const int64_t products = is_layer(row) ? std::max(row.mr, 2 * kRnnAhead) * RnnScratch::products(p.hidden, gates) : 0;
  return size_t(row.mr * RnnScratch(p.hidden, gates).row + products * int64_t(sizeof(float)));
}

int64_t tiles_of(const Row& row, const P& p) { return (p.hidden + row.nr - 1) / row.nr; }

size_t packed_bytes(const Row& row, const void* params) {
  const P& p = params_of(params);
  const int64_t depth = depth_of(row);
  const int64_t column = is_integer(row) ? 4 + (p.hidden + depth - 1) / depth * depth : packed_rows(p) * 4;
  return size_t(tiles_of(row, p) * gates_of(row) * row.nr * column);
}

void pack_float(const Row& row, const P& p, const float* weight, float* to) {
  for (int64_t tile = 0; tile < tiles_of(row, p); ++tile)
    for (int64_t k = 0; k < packed_rows(p); ++k)
      for (int64_t g = 0; g < gates_of(row); ++g)
        for (int64_t j = tile * row.nr; j < (tile + 1) * row.nr; ++j)
          *to++ = j < p.hidden ? weight[(g * p.hidden + j) * packed_rows(p) + k] : 0.0f;
}

void pack_integers(const Row& row, const P& p, const int8_t* weight, std::byte* to) {
  const int64_t depth = depth_of(row);
  const bool is_in_bytes = depth == 4;
  for (int64_t tile = 0; tile < tiles_of(row, p); ++tile) {
    const auto each_column = [&](auto fn) {
      for (int64_t g = 0; g < gates_of(row); ++g)
        for (int64_t j = tile * row.nr; j < (tile + 1) * row.nr; ++j)
          fn(j < p.hidden ? weight + (g * p.hidden + j) * p.hidden : nullptr);
    };
    each_column([&](const int8_t* column) {
      int64_t sum = 0;
      for (int64_t k = 0; column && k < p.hidden; ++k) sum += column[k];
      const auto start = int32_t(uint32_t(is_in_bytes ? -sum * 32768 : 0));
      std::memcpy(to, &start, sizeof start);
      to += sizeof start;
    });
    for (int64_t first = 0; first < p.hidden; first += depth)
      each_column([&](const int8_t* column) {
        for (int64_t k = first; k < first + depth; ++k) *to++ = std::byte(column && k < p.hidden ? column[k] : 0);
      });
  }
}

void pack(const Row& row, const void* params, const void* src, void* dst) {
  const P& p = params_of(params);
  if (is_integer(row)) {
    pack_integers(row, p, static_cast<const int8_t*>(src), static_cast<std::byte*>(dst));
  } else {
    pack_float(row, p, static_cast<const float*>(src), static_cast<float*>(dst));
  }
}

}  // namespace

extern const Family family_rnn;
const Family family_rnn = {
    "rnn", kFields, std::size(kFields), sizeof(P),    kOperands, std::size(kOperands), kRows, std::size(kRows),
    tasks, cost_ns, scratch_bytes,      packed_bytes, pack,
};

}  // namespace rushlight
