// The transforms of patches of bytes and of products of s16, for ISA files only. What results are multiplied by (see
// winograd.h) is 9 * 2^shift (tile 2: 2^shift), the shift being that of the result's row and that of its column.
#pragma once

#include "kernels/vec/activation.h"
#include "kernels/vec/words.h"
#include "kernels/winograd/product.h"

namespace rushlight {
namespace {

// F(4, 3) at 0, +-1, +-2, infinity.
struct WholeFour {
  static constexpr int kTile = 4, kSide = 6;
  static constexpr int kShift[kTile] = {3, 2, 1, 1};

  static RL_INLINE void patch(const W (&d)[6], W (&v)[6]) {
    const W even_1 = d[4] - shift_left<2>(d[2]), odd_1 = d[3] - shift_left<2>(d[1]);
    const W even_2 = d[4] - d[2], step = d[3] - d[1], odd_2 = step + step;
    v[0] = shift_left<2>(d[0] - d[2]) + even_2;
    v[1] = even_1 + odd_1;
    v[2] = even_1 - odd_1;
    v[3] = even_2 + odd_2;
    v[4] = even_2 - odd_2;
    v[5] = (d[5] - d[3]) - (odd_2 + odd_2);
  }

  static RL_INLINE void result(const VI (&m)[6], VI (&y)[4]) {
    const VI even_1 = m[1] + m[2], odd_1 = m[1] - m[2], even_2 = m[3] + m[4], odd_2 = m[3] - m[4];
    const VI first = m[0] + m[0], last = m[5] + m[5];
    y[0] = ((first + shift_left<1>(first)) - shift_left<2>(even_1)) + even_2;
    y[1] = odd_2 - (odd_1 + odd_1);
    y[2] = even_2 - even_1;
    y[3] = ((odd_2 + odd_2) - odd_1) + (last + shift_left<1>(last));
  }

  template <int Shift>
  static RL_INLINE VI divide(VI sum) {
    constexpr uint32_t inverse = 0x38e38e39;
    static_assert(uint32_t(9 * inverse) == 1);
    return shift_right<Shift>(sum * set_i(int32_t(inverse)));
  }
};

// F(2, 3) at 0, +-1, infinity.
struct WholeTwo {
  static constexpr int kTile = 2, kSide = 4;
  static constexpr int kShift[kTile] = {1, 1};

  static RL_INLINE void patch(const W (&d)[4], W (&v)[4]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
  }

  static RL_INLINE void result(const VI (&m)[4], VI (&y)[2]) {
    y[0] = (m[0] + m[0]) + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) - (m[3] + m[3]);
  }

  template <int Shift>
  static RL_INLINE VI divide(VI sum) {
    return shift_right<Shift>(sum);
  }
};

template <class F, bool Whole>
RL_INLINE void transform_words(const WinogradPatch& patch, int64_t c, int lanes) {
  constexpr int kSide = F::kSide;
  const uint8_t* const first = static_cast<const uint8_t*>(patch.image) + (patch.at + c);
  const int64_t row = patch.row, pixel = patch.pixel, point = patch.point;
  const W outside = set_words(int16_t(patch.zero_point));
  W half[kSide][kSide];
  RL_UNROLL
  for (int x = 0; x < kSide; ++x) {
    W d[kSide], v[kSide];
    RL_UNROLL
    for (int y = 0; y < kSide; ++y) {
      const bool is_inside = Whole || (x >= patch.x_begin && x < patch.x_end && y >= patch.y_begin && y < patch.y_end);
      const uint8_t* const from = first + (y * row + x * pixel);
      d[y] = !is_inside ? outside : lanes == kWords ? widen(from) : widen_n(from, lanes);
    }
    F::patch(d, v);
    RL_UNROLL
    for (int y = 0; y < kSide; ++y) half[y][x] = v[y];
  }
  std::byte* dst = patch.dst + c * int64_t(sizeof(int16_t));
  RL_UNROLL
  for (int y = 0; y < kSide; ++y) {
    W v[kSide];
    F::patch(half[y], v);
    RL_UNROLL
    for (int x = 0; x < kSide; ++x) {
      store_words(dst, v[x]);
      dst += point;
    }
  }
}

template <class F, bool Whole>
RL_INLINE void transform_bytes(const WinogradPatch& patch) {
  int64_t c = 0;
  for (; c + kWords <= patch.channels; c += kWords) transform_words<F, Whole>(patch, c, kWords);
  if (c < patch.channels) transform_words<F, Whole>(patch, c, int(patch.channels - c));
}

template <class F>
void transform_byte_patch(const WinogradPatch& patch) {
  if (patch.is_whole) {
    transform_bytes<F, true>(patch);
  } else {
    transform_bytes<F, false>(patch);
  }
}

// What the results of some columns have in common.
struct SumScales {
  RL_INLINE SumScales(const WinogradResult& result, int64_t n, int lanes)
      : lanes(lanes),
        correction(load_i(result.correction + n)),
        scale(load_n(result.scale + n, lanes)),
        bias(result.bias ? load_n(result.bias + n, lanes) : zero()),
        residual(set(result.residual_scale)),
        lo(set(result.lo)),
        hi(set(result.hi)) {}

  RL_INLINE void finish(VI sum, const float* added, float* dst) const {
    const V v = scaled(sum);
    store_n(dst, min(hi, max(lo, added ? v + load_n(added, lanes) : v)), lanes);
  }
  // The limits are whole numbers in [0, 255]; NaN ends at lo.
  RL_INLINE void finish(VI sum, const uint8_t* added, uint8_t* dst) const {
    V v = scaled(sum);
    if (added) v = fma(to_float(load_u8_n(added, lanes)), residual, v);
    const VI rounded = max_i(round_int(lo), round_int(min(hi, v)));
    if (lanes == kWidth) {
      store_u8(dst, rounded);
    } else {
      store_u8_n(dst, rounded, lanes);
    }
  }
  RL_INLINE V scaled(VI sum) const { return fma(to_float(sum + correction), scale, bias); }

  int lanes;
  VI correction;
  V scale, bias, residual, lo, hi;
};

// The results of row I from column J on.
template <class F, class Dst, int I, int J = 0>
RL_INLINE void finish_row(const WinogradResult& result, const SumScales& scales, const VI (&sum)[F::kTile], int64_t n) {
  if constexpr (J < F::kTile) {
    if (J >= result.cols) return;
    const Dst* added = static_cast<const Dst*>(result.residual);
    if (added) added += I * result.residual_row + J * result.residual_pixel + n;
    Dst* const dst = static_cast<Dst*>(result.dst) + I * result.dst_row + J * result.dst_pixel + n;
    VI whole = F::template divide<F::kShift[I] + F::kShift[J]>(sum[J]);
    if (result.sums) whole = whole + load_i(result.sums + (I * F::kTile + J) * result.sum_row + n);
    scales.finish(whole, added, dst);
    finish_row<F, Dst, I, J + 1>(result, scales, sum, n);
  }
}

template <class F, class Dst, int I = 0>
RL_INLINE void finish_rows(const WinogradResult& result, const SumScales& scales, const VI (&half)[F::kTile][F::kSide],
                           int64_t n) {
  if constexpr (I < F::kTile) {
    if (I >= result.rows) return;
    VI sum[F::kTile];
    F::result(half[I], sum);
    finish_row<F, Dst, I>(result, scales, sum, n);
    finish_rows<F, Dst, I + 1>(result, scales, half, n);
  }
}

// A^T along columns.
template <class F>
RL_INLINE void halve_sums(const WinogradResult& result, int64_t n, VI (&half)[F::kTile][F::kSide]) {
  constexpr int kSide = F::kSide, kTile = F::kTile;
  const std::byte* const products = result.products + n * int64_t(sizeof(int32_t));
  const int64_t point = result.point;
  RL_UNROLL
  for (int x = 0; x < kSide; ++x) {
    VI m[kSide], y[kTile];
    RL_UNROLL
    for (int i = 0; i < kSide; ++i) m[i] = load_i(reinterpret_cast<const int32_t*>(products + (i * kSide + x) * point));
    F::result(m, y);
    RL_UNROLL
    for (int i = 0; i < kTile; ++i) half[i][x] = y[i];
  }
}

template <class F, class Dst>
RL_INLINE void finish_sums(const WinogradResult& result, int64_t n, int lanes) {
  VI half[F::kTile][F::kSide];
  halve_sums<F>(result, n, half);
  finish_rows<F, Dst>(result, SumScales(result, n, lanes), half, n);
}

// Adds the sums of row I from column J on to result.sums, or writes them there.
template <class F, int I, int J = 0>
RL_INLINE void add_row(const WinogradResult& result, bool are_first, const VI (&sum)[F::kTile], int64_t n) {
  if constexpr (J < F::kTile) {
    int32_t* const to = result.sums + (I * F::kTile + J) * result.sum_row + n;
    const VI whole = F::template divide<F::kShift[I] + F::kShift[J]>(sum[J]);
    store_i(to, are_first ? whole : whole + load_i(to));
    add_row<F, I, J + 1>(result, are_first, sum, n);
  }
}

template <class F, int I = 0>
RL_INLINE void add_rows(const WinogradResult& result, bool are_first, const VI (&half)[F::kTile][F::kSide], int64_t n) {
  if constexpr (I < F::kTile) {
    VI sum[F::kTile];
    F::result(half[I], sum);
    add_row<F, I>(result, are_first, sum, n);
    add_rows<F, I + 1>(result, are_first, half, n);
  }
}

template <class F>
void add_sums(const WinogradResult& result, bool are_first) {
  for (int64_t n = 0; n < result.columns; n += kWidth) {
    VI half[F::kTile][F::kSide];
    halve_sums<F>(result, n, half);
    add_rows<F>(result, are_first, half, n);
  }
}

template <class F, class Dst>
void transform_sums(const WinogradResult& result) {
  int64_t n = 0;
  for (; n + kWidth <= result.columns; n += kWidth) finish_sums<F, Dst>(result, n, kWidth);
  if (n < result.columns) finish_sums<F, Dst>(result, n, int(result.columns - n));
}

}  // namespace
}  // namespace rushlight
