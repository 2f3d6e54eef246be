#include "kernels/winograd/winograd.h"

#include <algorithm>
#include <iterator>

#include "kernels/winograd/driver.h"
#include "kernels/winograd/layout.h"
#include "kernels/winograd/pack.h"

namespace rushlight {

#define ROW(isa, symbol, types, mr, nr) void symbol(const Call& call, int64_t begin, int64_t end);
#include "kernels/winograd/kernels.inc"
#undef ROW

namespace {

using P = WinogradParams;

constexpr Field kFields[] = {
    RL_FIELD(P, 'i', images),
    RL_FIELD(P, 'i', ih),
    RL_FIELD(P, 'i', iw),
    RL_FIELD(P, 'i', oh),
    RL_FIELD(P, 'i', ow),
    RL_FIELD(P, 'i', ph),
    RL_FIELD(P, 'i', pw),
    RL_FIELD(P, 'i', groups),
    RL_FIELD(P, 'i', c),
    RL_FIELD(P, 'i', n),
    RL_FIELD(P, 'i', tile),
    RL_FIELD(P, 'i', parts),
    RL_FIELD(P, 'i', src_image),
    RL_FIELD(P, 'i', src_row),
    RL_FIELD(P, 'i', src_pixel),
    RL_FIELD(P, 'i', dst_row),
    RL_FIELD(P, 'i', residual_row),
    RL_FIELD(P, 'i', src_zero_point),
    RL_FIELD(P, 'i', activation),
    RL_FIELD(P, 'f', alpha),
    RL_FIELD(P, 'f', beta),
    RL_FIELD(P, 'f', residual_scale),
};

constexpr Operand kOperands[kWinogradOperands] = {{"src", false},   {"weight", false},   {"bias", false},
                                                  {"scale", false}, {"residual", false}, {"dst", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, types, mr, nr) RL_ON_##isa({#symbol, "winograd", types, Isa::isa, mr, nr, symbol}, )
#include "kernels/winograd/kernels.inc"
#undef ROW
};

const P& params_of(const void* params) { return *static_cast<const P*>(params); }

int64_t tasks(const Row& row, const void* params) {
  return winograd_blocks(winograd_format(row), params_of(params)).tasks;
}

// Products as in gemm; the transforms as long as 8 multiply-adds an element.
double cost_ns(const Row& row, const void* params) {
  const P& p = params_of(params);
  const WinogradFormat format = winograd_format(row);
  double rate = row.isa == Isa::generic                           ? 0.2
                : row.isa == Isa::neon                            ? 20
                : row.isa == Isa::avx2 || row.isa == Isa::avxvnni ? 35
                                                                  : 70;
  const bool is_vnni = row.isa == Isa::avxvnni || row.isa == Isa::avx512vnni;
  if (format.is_integer() && row.isa != Isa::generic && !is_vnni) rate /= 2;
  const double tiles = double(winograd_blocks(format, p).tiles), bytes = double(winograd_weight_bytes(format, p));
  const double columns = double(winograd_granules(p) * kWinogradGranule);
  const double sums = columns * double(winograd_parts(format, p));
  const double transforms = tiles * double(winograd_points(p)) * (double(p.c) + sums) / (rate / 8);
  return double(p.groups) * std::max(tiles * bytes / double(kWinogradStepBytes) / rate + transforms, bytes / 10);
}

size_t scratch_bytes(const Row& row, const void* params) {
  return winograd_scratch_bytes(winograd_format(row), params_of(params));
}

size_t packed_bytes(const Row& row, const void* params) {
  const P& p = params_of(params);
  return size_t(p.groups * winograd_weight_bytes(winograd_format(row), p));
}

void pack(const Row& row, const void* params, const void* src, void* dst) {
  pack_winograd(winograd_format(row), params_of(params), src, static_cast<std::byte*>(dst));
}

Tile tile(const Row& row, const void* params) {
  const WinogradPanels panels(winograd_format(row), params_of(params));
  if (panels.count() == 0) return {0, 0};
  const int64_t granules = panels.panel(0).granules;
  return {granules * kWinogradGranule > row.nr ? kWinogradLowHeight : row.mr, granules * kWinogradGranule};
}

}  // namespace

extern const Family family_winograd = {"winograd",
                                       kFields,
                                       std::size(kFields),
                                       sizeof(P),
                                       kOperands,
                                       kWinogradOperands,
                                       kRows,
                                       std::size(kRows),
                                       tasks,
                                       cost_ns,
                                       scratch_bytes,
                                       packed_bytes,
                                       pack,
                                       tile};

}  // namespace rushlight
