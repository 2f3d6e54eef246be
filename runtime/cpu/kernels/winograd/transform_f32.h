// The transforms of patches and of products of floats, for ISA files only.
#pragma once

#include "kernels/vec/activation.h"
#include "kernels/winograd/product.h"

namespace rushlight {
namespace {

// F(4, 3) at 0, +-a, +-b, infinity with a = 3/4, b = 3/2.
struct Four {
  static constexpr int kTile = 4, kSide = 6;
  static constexpr float a = 0.75f, b = 1.5f, a2 = a * a, b2 = b * b, a3 = a2 * a, b3 = b2 * b;

  // B^T d: the coefficients of the polynomial with all points as roots but one.
  static RL_INLINE void patch(const V (&d)[6], V (&v)[6]) {
    const V sum = set(a2 + b2), product = set(a2 * b2);
    const V even_a = fnma(set(b2), d[2], d[4]), odd_a = fnma(set(b2), d[1], d[3]);
    const V even_b = fnma(set(a2), d[2], d[4]), odd_b = fnma(set(a2), d[1], d[3]);
    v[0] = fma(product, d[0], fnma(sum, d[2], d[4]));
    v[1] = fma(set(a), odd_a, even_a);
    v[2] = fnma(set(a), odd_a, even_a);
    v[3] = fma(set(b), odd_b, even_b);
    v[4] = fnma(set(b), odd_b, even_b);
    v[5] = fma(product, d[1], fnma(sum, d[3], d[5]));
  }

  // A^T m: the powers of the points.
  static RL_INLINE void result(const V (&m)[6], V (&y)[4]) {
    const V even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = (m[0] + even_a) + even_b;
    y[1] = fma(set(b), odd_b, set(a) * odd_a);
    y[2] = fma(set(b2), even_b, set(a2) * even_a);
    y[3] = fma(set(b3), odd_b, fma(set(a3), odd_a, m[5]));
  }
};

// F(2, 3) at 0, +-1, infinity.
struct Two {
  static constexpr int kTile = 2, kSide = 4;

  static RL_INLINE void patch(const V (&d)[4], V (&v)[4]) {
    v[0] = d[2] - d[0];
    v[1] = d[2] + d[1];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }

  static RL_INLINE void result(const V (&m)[4], V (&y)[2]) {
    y[0] = (m[0] + m[1]) + m[2];
    y[1] = (m[1] - m[2]) + m[3];
  }
};

// Some pixels are outside: whole patches need no question for each.
template <class F, bool Whole>
RL_INLINE void transform_vector(const WinogradPatch& patch, int64_t c, int lanes) {
  constexpr int kSide = F::kSide;
  const float* const first = static_cast<const float*>(patch.image) + (patch.at + c);
  const int64_t row = patch.row, pixel = patch.pixel, point = patch.point / int64_t(sizeof(float));
  V half[kSide][kSide];
  RL_UNROLL
  for (int x = 0; x < kSide; ++x) {
    V d[kSide], v[kSide];
    RL_UNROLL
    for (int y = 0; y < kSide; ++y) {
      const bool is_inside = Whole || (x >= patch.x_begin && x < patch.x_end && y >= patch.y_begin && y < patch.y_end);
      d[y] = is_inside ? load_n(first + (y * row + x * pixel), lanes) : zero();
    }
    F::patch(d, v);
    RL_UNROLL
    for (int y = 0; y < kSide; ++y) half[y][x] = v[y];
  }
  float* dst = reinterpret_cast<float*>(patch.dst) + c;
  RL_UNROLL
  for (int y = 0; y < kSide; ++y) {
    V v[kSide];
    F::patch(half[y], v);
    RL_UNROLL
    for (int x = 0; x < kSide; ++x) {
      store(dst, v[x]);
      dst += point;
    }
  }
}

template <class F, bool Whole>
RL_INLINE void transform_channels(const WinogradPatch& patch) {
  int64_t c = 0;
  for (; c + kWidth <= patch.channels; c += kWidth) transform_vector<F, Whole>(patch, c, kWidth);
  if (c < patch.channels) transform_vector<F, Whole>(patch, c, int(patch.channels - c));
}

template <class F>
void transform_patch(const WinogradPatch& patch) {
  if (patch.is_whole) {
    transform_channels<F, true>(patch);
  } else {
    transform_channels<F, false>(patch);
  }
}

template <class F>
RL_INLINE void finish_vector(const WinogradResult& result, int64_t n, int lanes) {
  constexpr int kSide = F::kSide, kTile = F::kTile;
  const float* const products = reinterpret_cast<const float*>(result.products) + n;
  const int64_t point = result.point / int64_t(sizeof(float));
  V half[kTile][kSide];
  RL_UNROLL
  for (int x = 0; x < kSide; ++x) {
    V m[kSide], y[kTile];
    RL_UNROLL
    for (int i = 0; i < kSide; ++i) m[i] = load(products + (i * kSide + x) * point);
    F::result(m, y);
    RL_UNROLL
    for (int i = 0; i < kTile; ++i) half[i][x] = y[i];
  }
  const V bias = result.bias ? load_n(result.bias + n, lanes) : zero(), lo = set(result.lo), hi = set(result.hi);
  RL_UNROLL
  for (int i = 0; i < kTile; ++i) {
    if (i >= result.rows) break;
    V y[kTile];
    F::result(half[i], y);
    float* const dst = static_cast<float*>(result.dst) + i * result.dst_row + n;
    const float* residual = static_cast<const float*>(result.residual);
    if (residual) residual += i * result.residual_row + n;
    RL_UNROLL
    for (int j = 0; j < kTile; ++j) {
      if (j >= result.cols) break;
      V v = y[j] + bias;
      if (residual) v = v + load_n(residual + j * result.residual_pixel, lanes);
      store_n(dst + j * result.dst_pixel, clamp(v, lo, hi), lanes);
    }
  }
}

template <class F>
void transform_result(const WinogradResult& result) {
  int64_t n = 0;
  for (; n + kWidth <= result.columns; n += kWidth) finish_vector<F>(result, n, kWidth);
  if (n < result.columns) finish_vector<F>(result, n, int(result.columns - n));
}

}  // namespace
}  // namespace rushlight
