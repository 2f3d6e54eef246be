// The float kernel, U vectors of channels at a time; for ISA files.
#pragma once

#include "kernels/depthwise/finish.h"
#include "kernels/depthwise/window.h"
#include "kernels/kernel.h"

namespace rushlight {
namespace {

// One run of output pixels: where each is read and written, at the first channel of the task.
struct Run {
  const float** taps;
  int64_t shift;  // elements to be added to every tap
  const float* residual[kRun];
  float* dst[kRun];
  bool has_residual, is_clamped;
  Bounds bounds;
};

// U vectors of channels from `channel` on, of P output pixels under a KH x KW filter of horizontal stride S (KH 0: any
// filter). Where Partial, U is 1 and n channels are left.
template <int U, int KH, int KW, int S, int P, bool Partial>
__attribute__((noinline)) void compute_vectors(const DepthwiseParams& p, const Run& run, int64_t channel, int n,
                                               const float* weight, int tile, const float* bias) {
  constexpr int columns = (P - 1) * S + KW;
  const int64_t source = channel + run.shift;
  const auto load_x = [n](const float* x) { return Partial ? load_n(x, n) : load(x); };
  V sum[P][U];
#pragma GCC unroll 8
  for (int u = 0; u < U; ++u) {
    const V start = bias ? load_x(bias + u * kWidth) : zero();
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i) sum[i][u] = start;
  }
  if constexpr (KH > 0) {
#pragma GCC unroll 1
    for (int ky = 0; ky < KH; ++ky) {
      V w[KW][U];
#pragma GCC unroll 8
      for (int kx = 0; kx < KW; ++kx)
#pragma GCC unroll 8
        for (int u = 0; u < U; ++u) w[kx][u] = in_register(load(weight + (ky * KW + kx) * tile + u * kWidth));
#pragma GCC unroll 32
      for (int j = 0; j < columns; ++j) {
        const float* const pixel = run.taps[ky * columns + j] + source;
#pragma GCC unroll 8
        for (int u = 0; u < U; ++u) {
          const V x = in_register(load_x(pixel + u * kWidth));
#pragma GCC unroll 8
          for (int kx = 0; kx < KW; ++kx) {
            const int i = (j - kx) / S;
            if (j >= kx && (j - kx) % S == 0 && i < P) sum[i][u] = fma(x, w[kx][u], sum[i][u]);
          }
        }
      }
    }
  } else {
    for (int64_t tap = 0; tap < p.kh * p.kw; ++tap) {
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) {
        const V w = load(weight + tap * tile + u * kWidth);
#pragma GCC unroll 8
        for (int i = 0; i < P; ++i) sum[i][u] = fma(load_x(run.taps[tap * P + i] + source + u * kWidth), w, sum[i][u]);
      }
    }
  }
  if (run.has_residual) {
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i)
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) sum[i][u] = sum[i][u] + load_x(run.residual[i] + channel + u * kWidth);
  }
  if (run.is_clamped) {
    const V lo = set(run.bounds.lo), hi = set(run.bounds.hi);
#pragma GCC unroll 8
    for (int i = 0; i < P; ++i)
#pragma GCC unroll 8
      for (int u = 0; u < U; ++u) sum[i][u] = clamp(sum[i][u], lo, hi);
  }
#pragma GCC unroll 8
  for (int i = 0; i < P; ++i)
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u)
      if constexpr (Partial)
        store_n(run.dst[i] + channel, sum[i][u], n);
      else
        store(run.dst[i] + channel + u * kWidth, sum[i][u]);
}

// All channels of the task for P output pixels. weight is the tile of its first channel.
template <int U, int KH, int KW, int S, int P>
void compute_channels(const DepthwiseParams& p, const Run& run, int64_t channels, const float* weight,
                      const float* bias) {
  constexpr int tile = U * kWidth;
  const int64_t taps = p.kh * p.kw;
  int64_t c = 0;
  for (; c + tile <= channels; c += tile)
    compute_vectors<U, KH, KW, S, P, false>(p, run, c, 0, weight + c * taps, tile, bias ? bias + c : nullptr);
  weight += c * taps;
  for (; c < channels; c += kWidth, weight += kWidth) {
    const int n = channels - c < kWidth ? int(channels - c) : kWidth;
    compute_vectors<1, KH, KW, S, P, true>(p, run, c, n, weight, tile, bias ? bias + c : nullptr);
  }
}

// Output pixels [ox, ox + P) of row oy, as many as there are, with taps at `run.taps` and `run.shift`.
template <int U, int KH, int KW, int S, int P>
void compute_run(const Call& call, const DepthwiseParams& p, const Split& split, const Task& task, Run& run, int64_t oy,
                 int64_t ox) {
  float* const zeros = reinterpret_cast<float*>(call.scratch);
  float* const discarded = zeros + split.chunk;
  const auto* residual = static_cast<const float*>(call.operand[kDepthwiseResidual]);
  auto* dst = static_cast<float*>(call.operand[kDepthwiseDst]);
  run.has_residual = residual != nullptr;
  run.bounds = activation_bounds(p);
  run.is_clamped = Activation(p.activation) == Activation::relu || Activation(p.activation) == Activation::clamp;
  const int64_t pixel = (task.image * p.oh + oy) * p.ow + ox;
  dst += pixel * p.dst_pixel + task.channel;
  if (residual) residual += pixel * p.residual_pixel + task.channel;
  for (int i = 0; i < P; ++i, dst += p.dst_pixel) {
    const bool exists = ox + i < p.ow;
    run.residual[i] = !residual ? nullptr : exists ? residual + i * p.residual_pixel : zeros;
    run.dst[i] = exists ? dst : discarded;
  }
  const auto* weight = static_cast<const float*>(call.operand[kDepthwiseWeight]) + task.channel * p.kh * p.kw;
  const auto* bias = static_cast<const float*>(call.operand[kDepthwiseBias]);
  compute_channels<U, KH, KW, S, P>(p, run, task.channels, weight, bias ? bias + task.channel : nullptr);
  if (has_curve(p))
    for (int i = 0; i < P && ox + i < p.ow; ++i) finish_pixel(p, run.dst[i], nullptr, task.channels);
}

template <int U, int KH, int KW, int S>
void compute_tasks(const Call& call, const DepthwiseParams& p, int64_t begin, int64_t end) {
  const Split split = split_tasks(p, U * kWidth, sizeof(float));
  auto* const zeros = reinterpret_cast<float*>(call.scratch);
  auto* const tables = reinterpret_cast<const float**>(zeros + 2 * split.chunk);
  for (int64_t i = 0; i < split.chunk; ++i) zeros[i] = 0.0f;
  constexpr int narrow = 4;
  for (int64_t index = begin; index < end; ++index) {
    const Task task = find_task(p, split, index);
    const auto* src = static_cast<const float*>(call.operand[kDepthwiseSrc]);
    const float* const image = src + task.image * p.ih * p.iw * p.src_pixel + task.channel;
    RunTaps<float, KH, KW, S, kRun> taps(p, image, zeros, tables);
    Run run;
    const auto compute = [&]<int P>(int64_t oy, int64_t ox) {
      const auto found = taps.template find<P>(oy, ox);
      run.taps = found.table;
      run.shift = found.shift;
      compute_run<U, KH, KW, S, P>(call, p, split, task, run, oy, ox);
    };
    for (int64_t oy = task.row; oy < task.row_end; ++oy) {
      int64_t ox = 0;
      for (; ox + narrow < p.ow; ox += kRun) compute.template operator()<kRun>(oy, ox);
      if (ox < p.ow) compute.template operator()<narrow>(oy, ox);
    }
  }
}

template <int U>
void depthwise_f32_any(const Call& call, int64_t begin, int64_t end) {
  compute_tasks<U, 0, 0, 1>(call, *static_cast<const DepthwiseParams*>(call.params), begin, end);
}

template <int U>
void depthwise_f32(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const DepthwiseParams*>(call.params);
  const bool known = p.kh == p.kw && p.dw == 1 && p.sw <= 2;
  if (known && p.kw == 3 && p.sw == 1) return compute_tasks<U, 3, 3, 1>(call, p, begin, end);
  if (known && p.kw == 3) return compute_tasks<U, 3, 3, 2>(call, p, begin, end);
  if (known && p.kw == 5 && p.sw == 1) return compute_tasks<U, 5, 5, 1>(call, p, begin, end);
  if (known && p.kw == 5) return compute_tasks<U, 5, 5, 2>(call, p, begin, end);
  if (known && p.kw == 7 && p.sw == 1) return compute_tasks<U, 7, 7, 1>(call, p, begin, end);
  depthwise_f32_any<U>(call, begin, end);
}

}  // namespace
}  // namespace rushlight
