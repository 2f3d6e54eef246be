// Register tiles, for ISA files only. Step says what one multiply-add of a lane does with 4 bytes of each operand:
//   Acc, broadcast(p), load(p), multiply_add(acc, a, b)
#pragma once

#include "kernels/gemm/driver.h"
#include "kernels/vec/activation.h"

#define RL_UNROLL _Pragma("GCC unroll 16")

namespace rushlight {
namespace {

constexpr int kGranuleVectors = 16 / kWidth;

struct StepF32 {
  using Acc = V;
  static RL_INLINE V broadcast(const std::byte* p) { return set(*reinterpret_cast<const float*>(p)); }
  static RL_INLINE V load(const std::byte* p) { return rushlight::load(reinterpret_cast<const float*>(p)); }
  static RL_INLINE void multiply_add(V& acc, V a, V b) { acc = fma(a, b, acc); }
};

// Every loop over the tile is unrolled: one that is not would put the accumulators into memory.
template <class Step, int MR, int NV>
RL_INLINE void accumulate(const GemmTile& tile, const std::byte* panel, typename Step::Acc (&acc)[MR][NV]) {
  const std::byte* const* rows = tile.rows;
  for (int64_t tap = 0; tap < tile.taps; ++tap, rows += tile.row_stride) {
    const std::byte* row[MR];
    RL_UNROLL
    for (int i = 0; i < MR; ++i) row[i] = rows[i];
    for (int64_t step = 0; step < tile.steps; ++step) {
      typename Step::Acc b[NV];
      RL_UNROLL
      for (int j = 0; j < NV; ++j) b[j] = Step::load(panel + j * kWidth * 4);
      panel += NV * kWidth * 4;
      RL_UNROLL
      for (int i = 0; i < MR; ++i) {
        const typename Step::Acc a = Step::broadcast(row[i] + step * 4);
        RL_UNROLL
        for (int j = 0; j < NV; ++j) Step::multiply_add(acc[i][j], a, b[j]);
      }
    }
  }
}

RL_INLINE int lanes_of(const GemmTile& tile, int j) {
  const int64_t rest = tile.columns - j * kWidth;
  return rest >= kWidth ? kWidth : rest > 0 ? int(rest) : 0;
}

template <class Dst>
RL_INLINE const Dst* residual_at(const GemmTile& tile, int i, int j) {
  return reinterpret_cast<const Dst*>(tile.residual) + i * tile.residual_row + j * kWidth;
}

RL_INLINE V clamp(const GemmTile& tile, V v) { return clamp(v, set(tile.lo), set(tile.hi)); }

template <int MR, int NV>
void tile_f32(const GemmTile& tile) {
  V acc[MR][NV];
  RL_UNROLL
  for (int j = 0; j < NV; ++j) {
    const V bias = tile.bias ? load_n(tile.bias + j * kWidth, lanes_of(tile, j)) : zero();
    RL_UNROLL
    for (int i = 0; i < MR; ++i) acc[i][j] = bias;
  }
  accumulate<StepF32>(tile, tile.panel, acc);
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    if (i >= tile.m) break;
    float* dst = reinterpret_cast<float*>(tile.dst) + i * tile.dst_row;
    RL_UNROLL
    for (int j = 0; j < NV; ++j) {
      const int lanes = lanes_of(tile, j);
      V v = acc[i][j];
      if (tile.residual) v = v + load_n(residual_at<float>(tile, i, j), lanes);
      store_n(dst + j * kWidth, clamp(tile, v), lanes);
    }
  }
}

RL_INLINE V add_residual(const GemmTile& tile, const uint8_t* p, int lanes, V v) {
  return fma(to_float(load_u8_n(p, lanes)), set(tile.residual_scale), v);
}
RL_INLINE void store_result(const GemmTile& tile, uint8_t* p, V v, int lanes) {
  store_u8_n(p, round_int(min(max(v, set(tile.lo)), set(tile.hi))), lanes);
}
RL_INLINE void store_result(const GemmTile& tile, float* p, V v, int lanes) { store_n(p, clamp(tile, v), lanes); }

template <class Step, class Dst, int MR, int NV>
void tile_u8s8(const GemmTile& tile) {
  VI acc[MR][NV];
  RL_UNROLL
  for (int j = 0; j < NV; ++j) {
    const VI start = load_i(reinterpret_cast<const int32_t*>(tile.panel) + j * kWidth);
    RL_UNROLL
    for (int i = 0; i < MR; ++i) acc[i][j] = start;
  }
  accumulate<Step>(tile, tile.panel + NV * kWidth * 4, acc);
  V scale[NV], bias[NV];
  RL_UNROLL
  for (int j = 0; j < NV; ++j) {
    scale[j] = load_n(tile.scale + j * kWidth, lanes_of(tile, j));
    bias[j] = tile.bias ? load_n(tile.bias + j * kWidth, lanes_of(tile, j)) : zero();
  }
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    if (i >= tile.m) break;
    Dst* dst = reinterpret_cast<Dst*>(tile.dst) + i * tile.dst_row;
    RL_UNROLL
    for (int j = 0; j < NV; ++j) {
      const int lanes = lanes_of(tile, j);
      V v = fma(to_float(acc[i][j]), scale[j], bias[j]);
      if (tile.residual) v = add_residual(tile, residual_at<uint8_t>(tile, i, j), lanes, v);
      store_result(tile, dst + j * kWidth, v, lanes);
    }
  }
}

}  // namespace
}  // namespace rushlight
