// What becomes of a tile's sums, for ISA files only: scale, residual, limits, stores.
#pragma once

#include "kernels/gemm/driver.h"
#include "kernels/vec/activation.h"

#define RL_UNROLL _Pragma("GCC unroll 16")

namespace rushlight {
namespace {

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

// Limits that are infinite change nothing.
template <int MR, int NV>
RL_INLINE void limit_floats(const GemmTile& tile, V (&v)[MR][NV]) {
  if (tile.lo > -__builtin_inff()) {
    const V lo = set(tile.lo);
    RL_UNROLL
    for (int i = 0; i < MR; ++i) {
      RL_UNROLL
      for (int j = 0; j < NV; ++j) v[i][j] = max(lo, v[i][j]);
    }
  }
  if (tile.hi < __builtin_inff()) {
    const V hi = set(tile.hi);
    RL_UNROLL
    for (int i = 0; i < MR; ++i) {
      RL_UNROLL
      for (int j = 0; j < NV; ++j) v[i][j] = min(hi, v[i][j]);
    }
  }
}

template <bool Full, int MR, int NV>
RL_INLINE void add_floats(const GemmTile& tile, V (&v)[MR][NV]) {
  if (!tile.residual) return;
  const int64_t m = tile.m, columns = tile.columns, residual_row = tile.residual_row;
  const float* residual = reinterpret_cast<const float*>(tile.residual);
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    if (i >= m) break;
    RL_UNROLL
    for (int j = 0; j < NV; ++j) v[i][j] = v[i][j] + load_n(residual + j * kWidth, lanes_of<Full>(columns, j));
    residual += residual_row;
  }
}

template <bool Full, int MR, int NV>
RL_INLINE void store_floats(const GemmTile& tile, const V (&v)[MR][NV]) {
  const int64_t m = tile.m, columns = tile.columns, dst_row = tile.dst_row;
  float* dst = reinterpret_cast<float*>(tile.dst);
  RL_UNROLL
  for (int i = 0; i < MR; ++i) {
    if (i >= m) break;
    RL_UNROLL
    for (int j = 0; j < NV; ++j) store_n(dst + j * kWidth, v[i][j], lanes_of<Full>(columns, j));
    dst += dst_row;
  }
}

template <bool Full, int MR, int NV>
RL_INLINE void finish_f32(const GemmTile& tile, V (&acc)[MR][NV]) {
  add_floats<Full>(tile, acc);
  limit_floats(tile, acc);
  store_floats<Full>(tile, acc);
}

template <bool Full, int NV>
struct Scales {
  explicit RL_INLINE Scales(const GemmTile& tile) : columns(tile.columns) {
    load_columns<Full>(tile.scale, columns, scale);
    load_columns<Full>(tile.bias, columns, bias);
  }

  RL_INLINE void apply(const VI (&acc)[NV], V (&v)[NV]) const {
    RL_UNROLL
    for (int j = 0; j < NV; ++j) v[j] = fma(to_float(acc[j]), scale[j], bias[j]);
  }

  int64_t columns;
  V scale[NV], bias[NV];
};

template <bool Full, int NV>
RL_INLINE void add_bytes(const uint8_t* residual, V scale, int64_t columns, V (&v)[NV]) {
  RL_UNROLL
  for (int j = 0; j < NV; ++j)
    v[j] = fma(to_float(load_u8_n(residual + j * kWidth, lanes_of<Full>(columns, j))), scale, v[j]);
}

template <bool Full, int MR, int NV>
RL_INLINE void finish_u8s8(const GemmTile& tile, float*, bool, const VI (&acc)[MR][NV]) {
  const Scales<Full, NV> scales(tile);
  V v[MR][NV];
  RL_UNROLL
  for (int i = 0; i < MR; ++i) scales.apply(acc[i], v[i]);
  add_floats<Full>(tile, v);
  limit_floats(tile, v);
  store_floats<Full>(tile, v);
}

// Whether no result of these columns, before it is limited, comes near 2^31.
template <int NV>
RL_INLINE bool results_fit_int(const GemmTile& tile) {
  const V most = set(float(tile.panel_steps) * (4.0f * 255 * 128)), limit = set(0x1p30f);
  const V residual = set(tile.residual_scale * 255);
  V scale[NV], bias[NV];
  load_columns<false>(tile.scale, tile.columns, scale);
  load_columns<false>(tile.bias, tile.columns, bias);
  bool fits = true;
  RL_UNROLL
  for (int j = 0; j < NV; ++j) {
    fits = fits && !any(!lt(abs(scale[j]) * most + abs(bias[j]) + abs(residual), limit));
  }
  return fits;
}

#if defined(__AVX512BW__)
using Bytes = __m512i;

// Four vectors, saturated, as bytes in order.
RL_INLINE Bytes pack_bytes(const VI (&v)[4]) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i words_0 = _mm512_packs_epi32(v[0].r, v[1].r), words_1 = _mm512_packs_epi32(v[2].r, v[3].r);
  return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(words_0, words_1));
}

RL_INLINE Bytes set_bytes(float x) { return _mm512_set1_epi8(char(int(x))); }
RL_INLINE Bytes clamp_bytes(Bytes a, Bytes lo, Bytes hi) { return _mm512_min_epu8(_mm512_max_epu8(a, lo), hi); }

// Part `I` of `a` cut into rows of NV vectors.
template <bool Full, int NV, int I>
RL_INLINE void store_part(uint8_t* dst, Bytes a, int64_t columns) {
  if constexpr (NV == 1) {
    const __m128i part = _mm512_extracti32x4_epi32(a, I);
    if (Full) return _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), part);
    _mm_mask_storeu_epi8(dst, __mmask16((1u << columns) - 1), part);
  } else if constexpr (NV == 2) {
    const __m256i part = _mm512_extracti64x4_epi64(a, I);
    if (Full) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), part);
    _mm256_mask_storeu_epi8(dst, __mmask32((uint64_t(1) << columns) - 1), part);
  } else {
    _mm512_mask_storeu_epi8(dst, ~uint64_t(0) >> (64 - (Full ? NV * kWidth : columns)), a);
  }
}
#elif defined(__AVX2__)
using Bytes = __m256i;

RL_INLINE Bytes pack_bytes(const VI (&v)[4]) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i words_0 = _mm256_packs_epi32(v[0].r, v[1].r), words_1 = _mm256_packs_epi32(v[2].r, v[3].r);
  return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words_0, words_1), order);
}

RL_INLINE Bytes set_bytes(float x) { return _mm256_set1_epi8(char(int(x))); }
RL_INLINE Bytes clamp_bytes(Bytes a, Bytes lo, Bytes hi) { return _mm256_min_epu8(_mm256_max_epu8(a, lo), hi); }

template <bool Full, int NV, int I>
RL_INLINE void store_part(uint8_t* dst, Bytes a, int64_t columns) {
  static_assert(NV == 2);
  const __m128i part = _mm256_extracti128_si256(a, I);
  if (Full) return _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), part);
  store_bytes_n(dst, part, lanes_of<false>(columns, 0));
  store_bytes_n(dst + kWidth, _mm_unpackhi_epi64(part, part), lanes_of<false>(columns, 1));
}
#elif defined(RL_NEON)
using Bytes = uint8x16_t;

RL_INLINE Bytes pack_bytes(const VI (&v)[4]) {
  const int16x8_t words_0 = vqmovn_high_s32(vqmovn_s32(v[0].r), v[1].r);
  const int16x8_t words_1 = vqmovn_high_s32(vqmovn_s32(v[2].r), v[3].r);
  return vqmovun_high_s16(vqmovun_s16(words_0), words_1);
}

RL_INLINE Bytes set_bytes(float x) { return vdupq_n_u8(uint8_t(x)); }
RL_INLINE Bytes clamp_bytes(Bytes a, Bytes lo, Bytes hi) { return vminq_u8(vmaxq_u8(a, lo), hi); }

template <bool Full, int NV, int I>
RL_INLINE void store_part(uint8_t* dst, Bytes a, int64_t columns) {
  static_assert(NV == 4);
  store_bytes_n(dst, a, Full ? 16 : int(columns));
}
#else
struct Bytes {
  uint8_t byte[4 * kWidth];
};

RL_INLINE Bytes pack_bytes(const VI (&v)[4]) {
  Bytes a;
  for (int j = 0; j < 4; ++j) store_u8(a.byte + j * kWidth, v[j]);
  return a;
}

RL_INLINE Bytes set_bytes(float x) {
  Bytes a;
  __builtin_memset(a.byte, int(x), sizeof a.byte);
  return a;
}

RL_INLINE Bytes clamp_bytes(Bytes a, const Bytes& lo, const Bytes& hi) {
  for (int i = 0; i < 4 * kWidth; ++i) {
    const uint8_t above = a.byte[i] > lo.byte[i] ? a.byte[i] : lo.byte[i];
    a.byte[i] = above < hi.byte[i] ? above : hi.byte[i];
  }
  return a;
}

template <bool Full, int NV, int I>
RL_INLINE void store_part(uint8_t* dst, const Bytes& a, int64_t columns) {
  __builtin_memcpy(dst, a.byte + I * NV * kWidth, size_t(Full ? NV * kWidth : columns));
}
#endif

template <bool Full, int NV, int Rows, int I = 0>
RL_INLINE void store_parts(uint8_t* dst, int64_t dst_row, int64_t rows, Bytes a, int64_t columns) {
  if constexpr (I < Rows) {
    if (I >= rows) return;
    store_part<Full, NV, I>(dst + I * dst_row, a, columns);
    store_parts<Full, NV, Rows, I + 1>(dst, dst_row, rows, a, columns);
  }
}

// The limits are whole numbers in [0, 255]. A NaN ends at lo: it rounds to INT32_MIN, which saturates to 0. So would a
// number that is too large for an int32 unless it is limited before.
template <bool Full, int MR, int NV>
RL_INLINE void finish_u8s8(const GemmTile& tile, uint8_t* dst, bool fits_int, const VI (&acc)[MR][NV]) {
  constexpr int kRows = NV < 3 ? 4 / NV : 1;  // that make one vector of bytes
  const int64_t m = tile.m, dst_row = tile.dst_row, residual_row = tile.residual_row;
  const Scales<Full, NV> scales(tile);
  const V limit = set(tile.hi), residual_scale = set(tile.residual_scale);
  const Bytes lo = set_bytes(tile.lo), hi = set_bytes(tile.hi);
  const uint8_t* residual = reinterpret_cast<const uint8_t*>(tile.residual);
  RL_UNROLL
  for (int i = 0; i < MR; i += kRows) {
    if (i >= m) break;
    VI ints[4];
    RL_UNROLL
    for (int r = 0; r < 4; ++r) ints[r] = set_i(0);
    RL_UNROLL
    for (int r = 0; r < kRows; ++r) {
      if (i + r >= MR || i + r >= m) break;
      V v[NV];
      scales.apply(acc[(i + r) % MR], v);
      if (residual) {
        add_bytes<Full>(residual, residual_scale, scales.columns, v);
        residual += residual_row;
      }
      if (!fits_int) {
        RL_UNROLL
        for (int j = 0; j < NV; ++j) v[j] = min(limit, v[j]);
      }
      RL_UNROLL
      for (int j = 0; j < NV; ++j) ints[r * NV + j] = round_int(v[j]);
    }
    const Bytes bytes = clamp_bytes(pack_bytes(ints), lo, hi);
    store_parts<Full, NV, kRows>(dst, dst_row, m - i, bytes, scales.columns);
    dst += kRows * dst_row;
  }
}

}  // namespace
}  // namespace rushlight
