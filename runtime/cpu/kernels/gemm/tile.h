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
  const std::byte* next = tile.next;
  const int64_t next_step = tile.next_step;
  for (int64_t tap = 0; tap < tile.taps; ++tap, rows += tile.row_stride) {
    const std::byte* row[MR];
    RL_UNROLL
    for (int i = 0; i < MR; ++i) row[i] = rows[i];
    for (int64_t step = 0; step < tile.steps; ++step) {
      typename Step::Acc b[NV];
      __builtin_prefetch(next, 0, 2);
      next += next_step;
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

// Asks for the lines of the first `m` rows of the tile in dst, to be written, and in residual, while the products run.
template <class Dst, class Residual, int NV>
RL_INLINE void fetch_destination(const GemmTile& tile) {
  constexpr int kLine = 64;
  for (int64_t i = 0; i < tile.m; ++i) {
    const std::byte* const dst = tile.dst + i * tile.dst_row * int64_t(sizeof(Dst));
    for (int at = 0; at < NV * kWidth * int(sizeof(Dst)); at += kLine) __builtin_prefetch(dst + at, 1);
    if (!tile.residual) continue;
    const std::byte* const residual = tile.residual + i * tile.residual_row * int64_t(sizeof(Residual));
    for (int at = 0; at < NV * kWidth * int(sizeof(Residual)); at += kLine) __builtin_prefetch(residual + at, 0);
  }
}

// How many columns of vector j there are. Full: all of them.
template <bool Full>
RL_INLINE int lanes_of(int64_t columns, int j) {
  const int64_t rest = columns - j * kWidth;
  return Full || rest >= kWidth ? kWidth : rest > 0 ? int(rest) : 0;
}

template <bool Full, int NV>
RL_INLINE void load_columns(const float* p, int64_t columns, V (&out)[NV]) {
  RL_UNROLL
  for (int j = 0; j < NV; ++j) out[j] = p ? load_n(p + j * kWidth, lanes_of<Full>(columns, j)) : zero();
}

template <bool Full, int MR, int NV>
RL_INLINE void finish_f32(const GemmTile& tile, const V (&acc)[MR][NV]) {
  const int64_t m = tile.m, columns = tile.columns, dst_row = tile.dst_row, residual_row = tile.residual_row;
  const V lo = set(tile.lo), hi = set(tile.hi);
  float* dst = reinterpret_cast<float*>(tile.dst);
  const float* residual = reinterpret_cast<const float*>(tile.residual);
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    if (i >= m) break;
    RL_UNROLL
    for (int j = 0; j < NV; ++j) {
      const int lanes = lanes_of<Full>(columns, j);
      V v = acc[i][j];
      if (residual) v = v + load_n(residual + j * kWidth, lanes);
      store_n(dst + j * kWidth, clamp(v, lo, hi), lanes);
    }
    dst += dst_row;
    if (residual) residual += residual_row;
  }
}

template <int MR, int NV>
void tile_f32(const GemmTile& tile) {
  const bool is_full = tile.columns == NV * kWidth;
  V bias[NV], acc[MR][NV];
  if (is_full) {
    load_columns<true>(tile.bias, tile.columns, bias);
  } else {
    load_columns<false>(tile.bias, tile.columns, bias);
  }
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    RL_UNROLL
    for (int j = 0; j < NV; ++j) acc[i][j] = bias[j];
  }
  fetch_destination<float, float, NV>(tile);
  accumulate<StepF32>(tile, tile.panel, acc);
  if (is_full) {
    finish_f32<true>(tile, acc);
  } else {
    finish_f32<false>(tile, acc);
  }
}

template <bool Full, int NV>
RL_INLINE void store_columns(float* p, int64_t columns, const V (&v)[NV], V lo, V hi) {
  RL_UNROLL
  for (int j = 0; j < NV; ++j) store_n(p + j * kWidth, clamp(v[j], lo, hi), lanes_of<Full>(columns, j));
}

// A NaN ends at lo: it survives min, rounds to INT32_MIN, saturates to 0. The bounds are whole numbers in [0, 255].
template <bool Full, int NV>
RL_INLINE void store_columns(uint8_t* p, int64_t columns, const V (&v)[NV], V lo, V hi) {
  VI rounded[NV];
  RL_UNROLL
  for (int j = 0; j < NV; ++j) rounded[j] = round_int(min(hi, v[j]));
#if defined(__AVX512BW__)
  if constexpr (NV > 1) {
    const __m512i none = _mm512_setzero_si512();
    const __m512i words_0 = _mm512_packs_epi32(rounded[0].r, rounded[1].r);
    const __m512i words_1 = NV == 2 ? none : _mm512_packs_epi32(rounded[2 % NV].r, NV == 3 ? none : rounded[3 % NV].r);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(words_0, words_1));
    const __m512i low = _mm512_broadcastb_epi8(_mm512_castsi512_si128(_mm512_cvtps_epi32(lo.r)));
    const uint64_t mask = ~uint64_t(0) >> (64 - (Full ? NV * kWidth : columns));
    _mm512_mask_storeu_epi8(p, mask, _mm512_max_epu8(bytes, low));
    return;
  }
#endif
  const VI low = round_int(lo);
  RL_UNROLL
  for (int j = 0; j < NV; ++j) store_u8_n(p + j * kWidth, max_i(rounded[j], low), lanes_of<Full>(columns, j));
}

template <bool Full, class Dst, int MR, int NV>
RL_INLINE void finish_u8s8(const GemmTile& tile, const VI (&acc)[MR][NV]) {
  const int64_t m = tile.m, columns = tile.columns, dst_row = tile.dst_row, residual_row = tile.residual_row;
  const V lo = set(tile.lo), hi = set(tile.hi), residual_scale = set(tile.residual_scale);
  Dst* dst = reinterpret_cast<Dst*>(tile.dst);
  const uint8_t* residual = reinterpret_cast<const uint8_t*>(tile.residual);
  V scale[NV], bias[NV];
  load_columns<Full>(tile.scale, columns, scale);
  load_columns<Full>(tile.bias, columns, bias);
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    if (i >= m) break;
    V v[NV];
    RL_UNROLL
    for (int j = 0; j < NV; ++j) {
      v[j] = fma(to_float(acc[i][j]), scale[j], bias[j]);
      if (residual) {
        const VI r = load_u8_n(residual + j * kWidth, lanes_of<Full>(columns, j));
        v[j] = fma(to_float(r), residual_scale, v[j]);
      }
    }
    store_columns<Full>(dst, columns, v, lo, hi);
    dst += dst_row;
    if (residual) residual += residual_row;
  }
}

template <class Step, class Dst, int MR, int NV>
void tile_u8s8(const GemmTile& tile) {
  VI acc[MR][NV];
  RL_UNROLL
  for (int j = 0; j < NV; ++j) {
    const VI start = load_i(reinterpret_cast<const int32_t*>(tile.panel) + j * kWidth);
    RL_UNROLL
    for (int i = 0; i < MR; ++i) acc[i][j] = start;
  }
  fetch_destination<Dst, uint8_t, NV>(tile);
  accumulate<Step>(tile, tile.panel + NV * kWidth * 4, acc);
  if (tile.columns == NV * kWidth) {
    finish_u8s8<true, Dst>(tile, acc);
  } else {
    finish_u8s8<false, Dst>(tile, acc);
  }
}

}  // namespace
}  // namespace rushlight
