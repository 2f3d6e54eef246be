// One tile of channels of the integer kernel; for ISA files. B is a register of bytes (vec/bytes_*.h):
// it holds the tile. Four rows of a filter's column are multiplied at once: their pixels are
// interleaved to groups of four bytes a channel.
#pragma once

#include "kernels/depthwise/finish.h"
#include "kernels/depthwise/layout.h"
#include "kernels/depthwise/window.h"
#include "kernels/kernel.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

struct ByteRun {
  const uint8_t** taps;
  int64_t shift;                  // bytes to be added to every tap
  const uint8_t* residual[kRun];  // of u8 destinations
  std::byte* dst[kRun];
  bool has_residual;
};

// Sums of half H of a tile (vectors 2H and 2H + 1) for P output pixels.
template <class B, int H, int KH, int KW, int S, int P, bool Partial>
RL_INLINE void sum_half(const DepthwiseParams& p, const ByteRun& run, int64_t channel, int n, const std::byte* packed,
                        typename B::Int (&sum)[P][2]) {
  using Int = typename B::Int;
  constexpr int columns = (P - 1) * S + KW, vector_bytes = B::kTile * B::kParts;
  const int64_t source = channel + run.shift;
  const auto load_x = [=](const uint8_t* pixel) {
    return Partial ? B::load_n(pixel + source, n) : B::load(pixel + source);
  };
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) sum[i][v] = B::load(packed + (2 * H + v) * B::kTile);
  const std::byte* const weight = packed + 4 * B::kTile + 2 * H * vector_bytes;
  if constexpr (KH > 0) {
#pragma GCC unroll 2
    for (int g = 0; g < KH; g += 4) {
#pragma GCC unroll 32
      for (int j = 0; j < columns; ++j) {
        const Int x0 = load_x(run.taps[g * columns + j]);
        const Int x1 = g + 1 < KH ? load_x(run.taps[(g + 1) * columns + j]) : B::zero();
        const Int x2 = g + 2 < KH ? load_x(run.taps[(g + 2) * columns + j]) : B::zero();
        const Int x3 = g + 3 < KH ? load_x(run.taps[(g + 3) * columns + j]) : B::zero();
        const Int x01 = B::template interleave_bytes<H>(x0, x1), x23 = B::template interleave_bytes<H>(x2, x3);
        const auto a = B::spread(B::template interleave_words<0>(x01, x23));
        const auto b = B::spread(B::template interleave_words<1>(x01, x23));
#pragma GCC unroll 8
        for (int kx = 0; kx < KW; ++kx) {
          const int i = (j - kx) / S;
          if (j >= kx && (j - kx) % S == 0 && i < P) {
            const std::byte* const w = weight + (g / 4 * KW + kx) * 4 * vector_bytes;
            sum[i][0] = B::dot(sum[i][0], a, w);
            sum[i][1] = B::dot(sum[i][1], b, w + vector_bytes);
          }
        }
      }
    }
  } else {
    for (int64_t g = 0; g < p.kh; g += 4) {
      // Rows after the last have zero weights: the last one is read in their place.
      const int64_t last = p.kh - 1 - g;
      const int64_t row1 = last < 1 ? last : 1, row2 = last < 2 ? last : 2, row3 = last < 3 ? last : 3;
      for (int64_t kx = 0; kx < p.kw; ++kx) {
        const uint8_t** const taps = run.taps + (g * p.kw + kx) * P;
        const std::byte* const w = weight + (g / 4 * p.kw + kx) * 4 * vector_bytes;
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) {
          const Int x01 = B::template interleave_bytes<H>(load_x(taps[i]), load_x(taps[row1 * p.kw * P + i]));
          const Int x23 =
              B::template interleave_bytes<H>(load_x(taps[row2 * p.kw * P + i]), load_x(taps[row3 * p.kw * P + i]));
          sum[i][0] = B::dot(sum[i][0], B::spread(B::template interleave_words<0>(x01, x23)), w);
          sum[i][1] = B::dot(sum[i][1], B::spread(B::template interleave_words<1>(x01, x23)), w + vector_bytes);
        }
      }
    }
  }
}

// Half H of a tile as s16, for a u8 destination, or stored, for f32.
template <class B, class Dst, int H, int KH, int KW, int S, int P, bool Partial>
RL_INLINE void compute_half(const DepthwiseParams& p, const ByteRun& run, int64_t channel, int n,
                            const std::byte* packed, const float* scale, const float* bias,
                            typename B::Int (&half)[P]) {
  typename B::Int sum[P][2];
  sum_half<B, H, KH, KW, S, P, Partial>(p, run, channel, n, packed, sum);
  constexpr int lanes = B::kTile / 4;
  const auto scale0 = B::load_float(scale + 2 * H * lanes), scale1 = B::load_float(scale + (2 * H + 1) * lanes);
  const auto bias0 = B::load_float(bias + 2 * H * lanes), bias1 = B::load_float(bias + (2 * H + 1) * lanes);
  typename B::Float value[P][2];
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i) {
    value[i][0] = B::fma(B::to_float(sum[i][0]), scale0, bias0);
    value[i][1] = B::fma(B::to_float(sum[i][1]), scale1, bias1);
  }
  if (sizeof(Dst) == 1 && run.has_residual) {
    const auto factor = B::set_float(p.residual_scale);
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) {
      const uint8_t* const r = run.residual[i] + channel;
      const auto words = B::template interleave_bytes<H>(Partial ? B::load_n(r, n) : B::load(r), B::zero());
      value[i][0] = B::fma(B::to_float(B::template interleave_words<0>(words, B::zero())), factor, value[i][0]);
      value[i][1] = B::fma(B::to_float(B::template interleave_words<1>(words, B::zero())), factor, value[i][1]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i) {
    const auto v0 = value[i][0], v1 = value[i][1];
    if constexpr (sizeof(Dst) == 1) {
      const auto hi = B::set_float(byte_bounds(p).hi);
      half[i] = B::pack_ints(B::round(B::min(v0, hi)), B::round(B::min(v1, hi)));
    } else {
      float* const dst = reinterpret_cast<float*>(run.dst[i]) + channel + 8 * H;
      B::store_octets_n(dst, v0, v1, Partial ? n - 8 * H : B::kTile);
    }
  }
}

template <class B, class Dst, int KH, int KW, int S, int P, bool Partial>
__attribute__((noinline)) void compute_tile(const DepthwiseParams& p, const ByteRun& run, int64_t channel, int n,
                                            const std::byte* packed, const float* scale, const float* bias) {
  typename B::Int half[2][P];
  compute_half<B, Dst, 0, KH, KW, S, P, Partial>(p, run, channel, n, packed, scale, bias, half[0]);
  // Otherwise GCC keeps the pixels of the first half for the second one, on the stack.
  asm volatile("" ::: "memory");
  compute_half<B, Dst, 1, KH, KW, S, P, Partial>(p, run, channel, n, packed, scale, bias, half[1]);
  if constexpr (sizeof(Dst) == 1) {
    const auto lo = B::set_bytes(uint8_t(byte_bounds(p).lo));
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) {
      const auto bytes = B::max_bytes(B::pack_words(half[0][i], half[1][i]), lo);
      auto* const dst = reinterpret_cast<uint8_t*>(run.dst[i]) + channel;
      if constexpr (Partial)
        B::store_n(dst, bytes, n);
      else
        B::store(dst, bytes);
    }
  }
}

}  // namespace
}  // namespace rushlight
