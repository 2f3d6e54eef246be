// The integer kernel; for ISA files. Full tiles are B's, narrow ones (layout.h) Narrow's.
#pragma once

#include "kernels/depthwise/finish.h"
#include "kernels/depthwise/u8s8_tile.h"

namespace rushlight {
namespace {

// A thread's scratch: pixels outside of the image, a place for pixels that do not exist, scale and bias in tile order,
// taps.
struct ByteScratch {
  uint8_t* outside;
  std::byte* discarded;
  float *scale, *bias;
  const uint8_t** taps;
};

inline ByteScratch lay_out_scratch(std::byte* scratch, int64_t chunk) {
  auto* const floats = reinterpret_cast<float*>(scratch);
  return {reinterpret_cast<uint8_t*>(floats + 3 * chunk), reinterpret_cast<std::byte*>(floats), floats + chunk,
          floats + 2 * chunk, reinterpret_cast<const uint8_t**>(floats + 4 * chunk)};
}

// scale and bias of the task's channels, in tile order; zero where a tile has no channel.
template <class B>
void order_channels(const DepthwiseParams& p, const Task& task, const float* src, float* dst) {
  for (int64_t c = 0; c < task.channels;) {
    const int64_t tile = tile_at(p, task.channel + c, B::kTile);
    for (int64_t v = 0; v < 4; ++v)
      for (int64_t e = 0; e < tile / 4; ++e) {
        const int64_t from = c + tile_channel(v, e);
        dst[c + v * tile / 4 + e] = from < task.channels ? src[task.channel + from] : 0.0f;
      }
    c += tile;
  }
}

// Whole, Partial: whether there are tiles that have all their channels, and others.
template <class B, class Dst, int KH, int KW, int S, int P, bool Whole, bool Partial>
RL_INLINE void compute_any(const DepthwiseParams& p, const ByteRun& run, int64_t channel, int n,
                           const std::byte* packed, const float* scale, const float* bias) {
  if constexpr (Whole) {
    if (!Partial || n == B::kTile)
      return compute_tile<B, Dst, KH, KW, S, P, false>(p, run, channel, n, packed, scale, bias);
  }
  if constexpr (Partial) compute_tile<B, Dst, KH, KW, S, P, true>(p, run, channel, n, packed, scale, bias);
}

template <class B, class Narrow, class Dst, int KH, int KW, int S, int P>
void compute_channels(const DepthwiseParams& p, const ByteRun& run, const Task& task, const std::byte* weight,
                      const ByteScratch& scratch) {
  const int64_t bytes = packed_bytes_per_channel(p, B::kParts);
  weight += task.channel * bytes;
  for (int64_t c = 0; c < task.channels;) {
    const int64_t left = task.channels - c, tile = tile_at(p, task.channel + c, B::kTile);
    const int n = left < tile ? int(left) : int(tile);
    const std::byte* const packed = weight + c * bytes;
    const float *scale = scratch.scale + c, *bias = scratch.bias + c;
    // Masked loads cost no more: tiles that are seldom whole need no second form then. Without masks narrow tiles take
    // what does not fill a full one.
    if (tile == B::kTile)
      compute_any<B, Dst, KH, KW, S, P, !B::kHasMasks || P == B::kPixels, B::kHasMasks || Narrow::kTile == B::kTile>(
          p, run, c, n, packed, scale, bias);
    else
      compute_any<Narrow, Dst, KH, KW, S, P, !Narrow::kHasMasks, true>(p, run, c, n, packed, scale, bias);
    c += tile;
  }
}

// Output pixels [ox, ox + P) of row oy, as many as there are, with taps at `run.taps` and `run.shift`.
template <class B, class Narrow, class Dst, int KH, int KW, int S, int P>
void compute_run(const Call& call, const DepthwiseParams& p, const Task& task, const ByteScratch& scratch, ByteRun& run,
                 int64_t oy, int64_t ox) {
  const std::byte* const residual = static_cast<const std::byte*>(call.operand[kDepthwiseResidual]);
  auto* const dst = static_cast<std::byte*>(call.operand[kDepthwiseDst]);
  run.has_residual = residual && sizeof(Dst) == 1;
  const int64_t first = (task.image * p.oh + oy) * p.ow + ox;
  for (int i = 0; i < P; ++i) {
    const bool exists = ox + i < p.ow;
    const auto* r = reinterpret_cast<const uint8_t*>(residual) + (first + i) * p.residual_pixel + task.channel;
    run.residual[i] = !run.has_residual ? nullptr : exists ? r : scratch.outside;
    run.dst[i] = exists ? dst + ((first + i) * p.dst_pixel + task.channel) * sizeof(Dst) : scratch.discarded;
  }
  const auto* weight = static_cast<const std::byte*>(call.operand[kDepthwiseWeight]);
  compute_channels<B, Narrow, Dst, KH, KW, S, P>(p, run, task, weight, scratch);
  if (sizeof(Dst) > 1 && (residual || Activation(p.activation) != Activation::none))
    for (int i = 0; i < P && ox + i < p.ow; ++i) {
      const auto* r = reinterpret_cast<const float*>(residual) + (first + i) * p.residual_pixel + task.channel;
      finish_pixel(p, reinterpret_cast<float*>(run.dst[i]), residual ? r : nullptr, task.channels);
    }
}

template <class B, class Narrow, class Dst, int KH, int KW, int S>
void compute_tasks(const Call& call, const DepthwiseParams& p, int64_t begin, int64_t end) {
  const Split split = split_tasks(p, B::kTile, 1);
  const ByteScratch scratch = lay_out_scratch(call.scratch, split.chunk);
  for (int64_t i = 0; i < split.chunk; ++i) scratch.outside[i] = uint8_t(p.src_zero_point);
  constexpr int wide = B::kPixels, narrow = 4;
  for (int64_t index = begin; index < end; ++index) {
    const Task task = find_task(p, split, index);
    order_channels<B>(p, task, static_cast<const float*>(call.operand[kDepthwiseScale]), scratch.scale);
    order_channels<B>(p, task, static_cast<const float*>(call.operand[kDepthwiseBias]), scratch.bias);
    const auto* src = static_cast<const uint8_t*>(call.operand[kDepthwiseSrc]);
    const uint8_t* const image = src + task.image * p.ih * p.iw * p.src_pixel + task.channel;
    RunTaps<uint8_t, KH, KW, S, wide> taps(p, image, scratch.outside, scratch.taps);
    ByteRun run;
    const auto compute = [&]<int P>(int64_t oy, int64_t ox) {
      const auto found = taps.template find<P>(oy, ox);
      run.taps = found.table;
      run.shift = found.shift;
      compute_run<B, Narrow, Dst, KH, KW, S, P>(call, p, task, scratch, run, oy, ox);
    };
    for (int64_t oy = task.row; oy < task.row_end; ++oy) {
      int64_t ox = 0;
      for (; ox + narrow < p.ow; ox += wide) compute.template operator()<wide>(oy, ox);
      if (ox < p.ow) compute.template operator()<narrow>(oy, ox);
    }
  }
}

template <class B, class Narrow, class Dst>
void depthwise_u8s8(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const DepthwiseParams*>(call.params);
  const bool known = p.kh == p.kw && p.dw == 1 && p.sw <= 2;
  if (known && p.kw == 3 && p.sw == 1) return compute_tasks<B, Narrow, Dst, 3, 3, 1>(call, p, begin, end);
  if (known && p.kw == 3) return compute_tasks<B, Narrow, Dst, 3, 3, 2>(call, p, begin, end);
  if (known && p.kw == 5 && p.sw == 1) return compute_tasks<B, Narrow, Dst, 5, 5, 1>(call, p, begin, end);
  if (known && p.kw == 5) return compute_tasks<B, Narrow, Dst, 5, 5, 2>(call, p, begin, end);
  if (known && p.kw == 7 && p.sw == 1) return compute_tasks<B, Narrow, Dst, 7, 7, 1>(call, p, begin, end);
  compute_tasks<B, Narrow, Dst, 0, 0, 1>(call, p, begin, end);
}

}  // namespace
}  // namespace rushlight
