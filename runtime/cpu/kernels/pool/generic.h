// The loop of all pools, and the pools of kWidth lanes; for ISA files.
#pragma once

#include "kernels/kernel.h"
#include "kernels/pool/functions.h"

namespace rushlight {
namespace {

struct MaxF32 {
  using Element = float;
  using Sum = V;
  static constexpr int kLanes = kWidth;
  static RL_INLINE Sum start() { return set(-__builtin_inff()); }
  static RL_INLINE Sum add(Sum m, const float* p) { return take_larger(m, load(p)); }
  static RL_INLINE Sum add_n(Sum m, const float* p, int n) { return take_larger(m, load_n(p, n)); }
  static RL_INLINE void finish(const PoolParams&, const Window&, float* dst, Sum m) { store(dst, m); }
  static RL_INLINE void finish_n(const PoolParams&, const Window&, float* dst, Sum m, int n) { store_n(dst, m, n); }
};

struct AvgF32 {
  using Element = float;
  using Sum = V;
  static constexpr int kLanes = kWidth;
  static RL_INLINE Sum start() { return zero(); }
  static RL_INLINE Sum add(Sum s, const float* p) { return s + load(p); }
  static RL_INLINE Sum add_n(Sum s, const float* p, int n) { return s + load_n(p, n); }
  static RL_INLINE void finish(const PoolParams&, const Window& w, float* dst, Sum s) {
    store(dst, s / set(float(w.count)));
  }
  static RL_INLINE void finish_n(const PoolParams&, const Window& w, float* dst, Sum s, int n) {
    store_n(dst, s / set(float(w.count)), n);
  }
};

struct AvgU8 {
  using Element = uint8_t;
  using Sum = VI;
  static constexpr int kLanes = kWidth;
  static RL_INLINE Sum start() { return set_i(0); }
  static RL_INLINE Sum add(Sum s, const uint8_t* p) { return s + load_u8(p); }
  static RL_INLINE Sum add_n(Sum s, const uint8_t* p, int n) { return s + load_u8_n(p, n); }
  static RL_INLINE void finish(const PoolParams& p, const Window& w, uint8_t* dst, Sum s) {
    store_u8(dst, average_of_bytes(p, w, s));
  }
  static RL_INLINE void finish_n(const PoolParams& p, const Window& w, uint8_t* dst, Sum s, int n) {
    store_u8_n(dst, average_of_bytes(p, w, s), n);
  }
};

// U vectors of channels of one window; n < kLanes channels (U is 1 then) where Partial.
template <class Op, int U, bool Partial>
RL_INLINE void pool_vectors(const PoolParams& p, const Window& w, const typename Op::Element* src,
                            typename Op::Element* dst, int n) {
  typename Op::Sum sum[U];
#pragma GCC unroll 4
  for (int u = 0; u < U; ++u) sum[u] = Op::start();
  const int64_t row_step = p.dh * p.iw * p.src_pixel, column_step = p.dw * p.src_pixel;
  for (int64_t ky = 0; ky < w.rows; ++ky, src += row_step) {
    const auto* pixel = src;
    for (int64_t kx = 0; kx < w.columns; ++kx, pixel += column_step) {
#pragma GCC unroll 4
      for (int u = 0; u < U; ++u)
        sum[u] = Partial ? Op::add_n(sum[u], pixel, n) : Op::add(sum[u], pixel + u * Op::kLanes);
    }
  }
#pragma GCC unroll 4
  for (int u = 0; u < U; ++u)
    if constexpr (Partial)
      Op::finish_n(p, w, dst, sum[u], n);
    else
      Op::finish(p, w, dst + u * Op::kLanes, sum[u]);
}

template <class Op>
void pool(const Call& call, int64_t begin, int64_t end) {
  using Element = typename Op::Element;
  const auto& p = *static_cast<const PoolParams*>(call.params);
  const int64_t chunks = pool_chunks(p);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t channel = task % chunks * kPoolChannels, oy = task / chunks % p.oh, image = task / chunks / p.oh;
    const int64_t channels = p.c - channel < kPoolChannels ? p.c - channel : kPoolChannels;
    const Element* const src =
        static_cast<const Element*>(call.operand[kPoolSrc]) + image * p.ih * p.iw * p.src_pixel + channel;
    Element* const dst =
        static_cast<Element*>(call.operand[kPoolDst]) + (image * p.oh + oy) * p.ow * p.dst_pixel + channel;
    for (int64_t ox = 0; ox < p.ow; ++ox) {
      const Window w = find_window(p, oy, ox);
      const Element* const from = src + w.offset * p.src_pixel;
      Element* const to = dst + ox * p.dst_pixel;
      int64_t c = 0;
      for (; c + 4 * Op::kLanes <= channels; c += 4 * Op::kLanes) pool_vectors<Op, 4, false>(p, w, from + c, to + c, 0);
      for (; c + 2 * Op::kLanes <= channels; c += 2 * Op::kLanes) pool_vectors<Op, 2, false>(p, w, from + c, to + c, 0);
      for (; c + Op::kLanes <= channels; c += Op::kLanes) pool_vectors<Op, 1, false>(p, w, from + c, to + c, 0);
      if (c < channels) pool_vectors<Op, 1, true>(p, w, from + c, to + c, int(channels - c));
    }
  }
}

}  // namespace
}  // namespace rushlight
