#include "kernels/depthwise/depthwise.h"

#include <cstring>
#include <iterator>

#include "kernels/depthwise/layout.h"
#include "kernels/depthwise/window.h"
#include "kernels/kernel.h"

namespace rushlight {

#define ROW(isa, symbol, types, mr, nr) void symbol(const Call&, int64_t, int64_t);
#include "kernels/depthwise/kernels.inc"
#undef ROW

namespace {

using P = DepthwiseParams;

constexpr Field kFields[] = {
    RL_FIELD(P, 'i', images),     RL_FIELD(P, 'i', c),
    RL_FIELD(P, 'i', ih),         RL_FIELD(P, 'i', iw),
    RL_FIELD(P, 'i', oh),         RL_FIELD(P, 'i', ow),
    RL_FIELD(P, 'i', kh),         RL_FIELD(P, 'i', kw),
    RL_FIELD(P, 'i', sh),         RL_FIELD(P, 'i', sw),
    RL_FIELD(P, 'i', ph),         RL_FIELD(P, 'i', pw),
    RL_FIELD(P, 'i', dh),         RL_FIELD(P, 'i', dw),
    RL_FIELD(P, 'i', src_pixel),  RL_FIELD(P, 'i', residual_pixel),
    RL_FIELD(P, 'i', dst_pixel),  RL_FIELD(P, 'i', src_zero_point),
    RL_FIELD(P, 'i', activation), RL_FIELD(P, 'f', alpha),
    RL_FIELD(P, 'f', beta),       RL_FIELD(P, 'f', residual_scale),
};

constexpr Operand kOperands[] = {{"src", false},   {"weight", false},   {"bias", false},
                                 {"scale", false}, {"residual", false}, {"dst", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, types, mr, nr) RL_ON_##isa({#symbol, "depthwise", types, Isa::isa, mr, nr, symbol}, )
#include "kernels/depthwise/kernels.inc"
#undef ROW
};

const P& params_of(const void* params) { return *static_cast<const P*>(params); }
bool is_f32(const Row& row) { return !std::strcmp(row.types, "f32"); }
bool has_dot(const Row& row) {
  return row.isa == Isa::avxvnni || row.isa == Isa::avx512vnni || row.isa == Isa::neondot;
}
int64_t parts_of(const Row& row) { return has_dot(row) ? 1 : 2; }
Split split_of(const Row& row, const P& p) { return split_tasks(p, row.nr, is_f32(row) ? 4 : 1); }

int64_t tasks(const Row& row, const void* params) {
  const P& p = params_of(params);
  const Split split = split_of(row, p);
  return p.ow > 0 ? p.images * split.bands * split.chunks : 0;
}

double cost_ns(const Row& row, const void* params) {
  const P& p = params_of(params);
  const double elements = double(p.images) * double(p.oh) * double(p.ow) * double(p.c);
  // Multiplications and stores of a nanosecond with 256-bit vectors.
  const double vector = row.isa == Isa::generic ? 0.1 : 1.0;
  return elements * (double(p.kh * p.kw) / (is_f32(row) ? 32.0 : 48.0) + 0.05) / vector;
}

size_t scratch_bytes(const Row& row, const void* params) {
  const P& p = params_of(params);
  const Split split = split_of(row, p);
  const int64_t pointers = 2 * table_size(p);
  return size_t(split.chunk * 4 * int64_t(sizeof(float)) + pointers * int64_t(sizeof(void*)));
}

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

size_t packed_bytes(const Row& row, const void* params) {
  const P& p = params_of(params);
  if (is_f32(row)) return size_t(round_up(p.c, row.nr) * p.kh * p.kw * int64_t(sizeof(float)));
  if (row.isa == Isa::generic) return size_t(p.c * (4 + p.kh * p.kw));
  int64_t channels = 0;
  while (channels < p.c) channels += tile_at(p, channels, row.nr);
  return size_t(channels * packed_bytes_per_channel(p, parts_of(row)));
}

void pack_f32(const Row& row, const P& p, const float* src, float* dst) {
  const int64_t taps = p.kh * p.kw;
  for (int64_t c = 0; c < round_up(p.c, row.nr); ++c)
    for (int64_t tap = 0; tap < taps; ++tap)
      dst[(c / row.nr * taps + tap) * row.nr + c % row.nr] = c < p.c ? src[c * taps + tap] : 0.0f;
}

// shift: how much less src is when the kernel reads it.
int32_t start_of(const P& p, const int8_t* weight, int64_t shift) {
  int32_t sum = 0;
  for (int64_t tap = 0; tap < p.kh * p.kw; ++tap) sum += weight[tap];
  return int32_t(shift - p.src_zero_point) * sum;
}

void pack_generic(const P& p, const int8_t* src, std::byte* dst) {
  const int64_t taps = p.kh * p.kw;
  auto* const start = reinterpret_cast<int32_t*>(dst);
  auto* const weight = reinterpret_cast<int8_t*>(start + p.c);
  for (int64_t c = 0; c < p.c; ++c) {
    start[c] = start_of(p, src + c * taps, 0);
    for (int64_t tap = 0; tap < taps; ++tap) weight[tap * p.c + c] = src[c * taps + tap];
  }
}

// One channel's four rows at (ky, kx) to its place in a vector of the tile.
void pack_rows(const P& p, const int8_t* weight, int64_t ky, int64_t kx, int64_t parts, int64_t tile, std::byte* dst) {
  for (int64_t row = 0; row < 4 && ky + row < p.kh; ++row) {
    const int8_t w = weight[(ky + row) * p.kw + kx];
    if (parts == 1) {
      std::memcpy(dst + row, &w, 1);
    } else {
      const int16_t wide = w;
      std::memcpy(dst + row % 2 * tile + row / 2 * 2, &wide, 2);
    }
  }
}

void pack_tiles(const Row& row, const P& p, const int8_t* src, std::byte* dst) {
  const int64_t parts = parts_of(row), taps = p.kh * p.kw;
  std::memset(dst, 0, packed_bytes(row, &p));
  for (int64_t first = 0; first < p.c;) {
    const int64_t tile = tile_at(p, first, row.nr);
    for (int64_t v = 0; v < 4; ++v)
      for (int64_t e = 0; e < tile / 4; ++e) {
        const int64_t c = first + tile_channel(v, e);
        if (c >= p.c) continue;
        const int32_t start = start_of(p, src + c * taps, row.isa == Isa::neondot ? 128 : 0);
        std::memcpy(dst + (v * tile / 4 + e) * 4, &start, 4);
        for (int64_t ky = 0; ky < p.kh; ky += 4)
          for (int64_t kx = 0; kx < p.kw; ++kx) {
            const int64_t vector = (ky / 4 * p.kw + kx) * 4 + v;
            pack_rows(p, src + c * taps, ky, kx, parts, tile, dst + 4 * tile + vector * parts * tile + e * 4);
          }
      }
    dst += tile * packed_bytes_per_channel(p, parts);
    first += tile;
  }
}

void pack(const Row& row, const void* params, const void* src, void* dst) {
  const P& p = params_of(params);
  if (is_f32(row)) return pack_f32(row, p, static_cast<const float*>(src), static_cast<float*>(dst));
  const auto* const weight = static_cast<const int8_t*>(src);
  if (row.isa == Isa::generic) return pack_generic(p, weight, static_cast<std::byte*>(dst));
  pack_tiles(row, p, weight, static_cast<std::byte*>(dst));
}

Tile tile(const Row& row, const void* params) {
  return {row.mr, is_f32(row) ? row.nr : tile_at(params_of(params), 0, row.nr)};
}

}  // namespace

extern const Family family_depthwise;
const Family family_depthwise = {
    "depthwise",
    kFields,
    std::size(kFields),
    sizeof(P),
    kOperands,
    std::size(kOperands),
    kRows,
    std::size(kRows),
    tasks,
    cost_ns,
    scratch_bytes,
    packed_bytes,
    pack,
    tile,
};

}  // namespace rushlight
