#include "kernels/gemm/gemm.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "kernels/gemm/driver.h"
#include "kernels/gemm/layout.h"
#include "kernels/gemm/pack.h"

namespace rushlight {

#define ROW(isa, symbol, op, types, mr, nr) void symbol(const Call& call, int64_t begin, int64_t end);
#include "kernels/gemm/kernels.inc"
#undef ROW

namespace {

#define F(type, name) RL_FIELD(GemmParams, type, name)
constexpr Field kFields[] = {F('i', batch),
                             F('i', images),
                             F('i', oh),
                             F('i', ow),
                             F('i', n),
                             F('i', k),
                             F('i', ih),
                             F('i', iw),
                             F('i', kh),
                             F('i', kw),
                             F('i', sh),
                             F('i', sw),
                             F('i', ph),
                             F('i', pw),
                             F('i', dh),
                             F('i', dw),
                             F('i', src_batch),
                             F('i', src_image),
                             F('i', src_row),
                             F('i', src_pixel),
                             F('i', dst_batch),
                             F('i', dst_row),
                             F('i', residual_batch),
                             F('i', residual_row),
                             F('i', weight_batch),
                             F('i', bias_batch),
                             F('i', weights),
                             F('i', weight_is_kn),
                             F('i', src_zero_point),
                             F('i', activation),
                             F('f', alpha),
                             F('f', beta),
                             F('f', residual_scale),
                             F('i', panel_columns),
                             F('i', tile_rows)};
#undef F

constexpr Operand kOperands[kGemmOperands] = {{"src", false},   {"weight", false},   {"bias", false},
                                              {"scale", false}, {"residual", false}, {"dst", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/gemm/kernels.inc"
#undef ROW
};

// In the order of the rows.
const GemmTiles* const kTiles[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa(&tiles_##symbol, )
#include "kernels/gemm/kernels.inc"
#undef ROW
};

GemmFormat gemm_format(const Row& row) {
  const bool has_halves = std::string_view(row.types).find("f16") != std::string_view::npos;
  return {gemm_step(row), row.nr / kGranule, kTiles[&row - kRows], has_halves ? kHalfBytes : kStepBytes};
}

const GemmParams& params_of(const void* params) { return *static_cast<const GemmParams*>(params); }

int64_t tasks(const Row& row, const void* params) { return gemm_blocks(gemm_format(row), params_of(params)).tasks; }

size_t scratch_bytes(const Row& row, const void* params) {
  return gemm_scratch_bytes(gemm_format(row), params_of(params));
}

// Multiply-add steps a nanosecond at some 2.6 GHz, and weights at 10 bytes a nanosecond. Tile registers: half of what
// they are said to do, not measured; neither is NEON: two instructions a cycle.
double cost_ns(const Row& row, const void* params) {
  const GemmParams& p = params_of(params);
  const GemmFormat format = gemm_format(row);
  const GemmLayout layout = gemm_layout(format, p);
  const int64_t rows = p.images * p.oh * p.ow;
  double rate = row.isa == Isa::amxint8 && rows >= 16             ? 330
                : row.isa == Isa::generic                         ? 0.2
                : row.isa == Isa::neon || row.isa == Isa::neondot ? 20
                : row.isa == Isa::avx2 || row.isa == Isa::avxvnni ? 35
                                                                  : 70;
  if (format.step == GemmStep::s16x2) rate /= 2;
  const double batch = double(p.batch[0] * p.batch[1]), columns = double(ceil_div(p.n, kGranule) * kGranule);
  const double steps = double(rows) * columns * double(layout.steps());
  return batch * std::max(steps / rate, double(layout.bytes()) / 10);
}

size_t packed_bytes(const Row& row, const void* params) {
  const GemmParams& p = params_of(params);
  return size_t(p.weights * gemm_layout(gemm_format(row), p).bytes());
}

void pack(const Row& row, const void* params, const void* src, void* dst) {
  pack_weights(gemm_format(row), params_of(params), src, static_cast<std::byte*>(dst));
}

Tile tile(const Row& row, const void* params) {
  const GemmParams& p = params_of(params);
  const GemmFormat format = gemm_format(row);
  const GemmBlocks blocks = gemm_blocks(format, p);
  if (blocks.tasks == 0) return {0, 0};
  const GemmLayout layout = gemm_layout(format, p);
  const int64_t granules = layout.panel(0).granules, rows = std::min(blocks.m, blocks.m_block);
  const GemmCut cut = gemm_cut(*format.tiles, granules, rows, p.tile_rows);
  const int (&heights)[GemmHeights::kMost] = format.tiles->heights.rows[granules - 1];
  return {cut.main_rows > 0 ? heights[cut.main] : heights[cut.last.first], granules * kGranule};
}

}  // namespace

extern const Family family_gemm = {
    "gemm", kFields, std::size(kFields), sizeof(GemmParams), kOperands, kGemmOperands, kRows, std::size(kRows),
    tasks,  cost_ns, scratch_bytes,      packed_bytes,       pack,      tile};

}  // namespace rushlight
