// The ISA files' template.
#pragma once

#include <type_traits>

#include "kernels/kernel.h"
#include "kernels/quantize/functions.h"
#include "kernels/vec/broadcast.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

RL_INLINE V get(const float* p) { return load(p); }
RL_INLINE V get(const float* p, int n) { return load_n(p, n); }
RL_INLINE V get(const uint8_t* p) { return to_float(load_u8(p)); }
RL_INLINE V get(const uint8_t* p, int n) { return to_float(load_u8_n(p, n)); }
RL_INLINE V get(const int8_t* p) { return to_float(load_s8(p)); }
RL_INLINE V get(const int8_t* p, int n) { return to_float(load_s8_n(p, n)); }
RL_INLINE void put(float* p, V v) { store(p, v); }
RL_INLINE void put(float* p, V v, int n) { store_n(p, v, n); }
// Stores saturate; as int32, what is too large for it, and NaN, would be the least.
RL_INLINE VI to_int(V v, uint8_t) { return round_int(min(set(255.0f), v)); }
RL_INLINE VI to_int(V v, int8_t) { return round_int(min(set(127.0f), v)); }
RL_INLINE void put(uint8_t* p, V v) { store_u8(p, to_int(v, uint8_t())); }
RL_INLINE void put(uint8_t* p, V v, int n) { store_u8_n(p, to_int(v, uint8_t()), n); }
RL_INLINE void put(int8_t* p, V v) { store_s8(p, to_int(v, int8_t())); }
RL_INLINE void put(int8_t* p, V v, int n) { store_s8_n(p, to_int(v, int8_t()), n); }
template <class Byte>
RL_INLINE void put_four(Byte* p, V a, V b, V c, V d) {
  store_four(p, to_int(a, Byte()), to_int(b, Byte()), to_int(c, Byte()), to_int(d, Byte()));
}
RL_INLINE void put_four(float* p, V a, V b, V c, V d) {
  store(p, a);
  store(p + kWidth, b);
  store(p + 2 * kWidth, c);
  store(p + 3 * kWidth, d);
}

template <class X, class Out, class Function>
RL_INLINE void map_row(const X* x, Out* out, int64_t n, Function function) {
  const auto at = [&](int64_t k) { return function(get(x + k)); };
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth)
    put_four(out + i, at(i), at(i + kWidth), at(i + 2 * kWidth), at(i + 3 * kWidth));
  for (; i + kWidth <= n; i += kWidth) put(out + i, at(i));
  const int left = int(n - i);
  if (left > 0) put(out + i, function(get(x + i, left)), left);
}

template <class Op>
RL_INLINE void map_scaled(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const QuantizeParams*>(call.params);
  const auto* x = static_cast<const typename Op::X*>(call.operand[0]);
  const float* scale = static_cast<const float*>(call.operand[1]);
  const auto* zero_point = static_cast<const typename Op::Zero*>(call.operand[2]);
  auto* out = static_cast<typename Op::Out*>(call.operand[3]);
  const bool varies = p.scale_strides[p.rank - 1] != 0;
  const int64_t* const strides[] = {p.scale_strides};
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&from)[1], int64_t n) {
    const float* s = scale + from[0];
    const auto* z = zero_point + from[0];
    if (varies) {
      int64_t i = 0;
      const auto at = [&](int64_t k) { return Op::apply(get(x + to + k), get(s + k), get(z + k)); };
      for (; i + 4 * kWidth <= n; i += 4 * kWidth)
        put_four(out + to + i, at(i), at(i + kWidth), at(i + 2 * kWidth), at(i + 3 * kWidth));
      for (; i + kWidth <= n; i += kWidth) put(out + to + i, at(i));
      const int left = int(n - i);
      if (left > 0) put(out + to + i, Op::apply(get(x + to + i, left), get(s + i, left), get(z + i, left)), left);
    } else {
      const V vs = set(*s), vz = set(float(*z));
      if constexpr (std::is_same_v<Op, quantize<typename Op::Out>>) {
        const Divisor divisor(*s);
        if (divisor.is_usual()) return map_row(x + to, out + to, n, [&](V v) { return round(divisor.divide(v)) + vz; });
      }
      map_row(x + to, out + to, n, [&](V v) { return Op::apply(v, vs, vz); });
    }
  });
}

RL_INLINE VI byte_in_word(V v, uint8_t) { return max_i(to_int(v, uint8_t()), set_i(0)); }
RL_INLINE VI byte_in_word(V v, int8_t) { return max_i(to_int(v, int8_t()), set_i(-128)) & set_i(255); }

// quotient(x, c) is x over the scale of channel c.
template <class Quantized, int kChannels, class Quotient>
RL_INLINE void interleave_quotients(const QuantizeParams& p, const Call& call, int64_t begin, int64_t end,
                                    Quotient quotient) {
  const auto* const x = static_cast<const float*>(call.operand[0]);
  const auto* const zero_point = static_cast<const Quantized*>(call.operand[2]);
  auto* const out = static_cast<uint8_t*>(call.operand[3]);
  const int64_t pixels = p.shape[1], step = p.scale_strides[2];
  const auto quantized = [&](const float* plane, int c, int n) {
    const V v = n == kWidth ? load(plane + c * pixels) : load_n(plane + c * pixels, n);
    return byte_in_word(round(quotient(v, c)) + set(float(zero_point[c * step])), Quantized());
  };
  const auto pixels_at = [&](const float* plane, int n) {
    VI word = quantized(plane, 0, n) | shift_left<8>(quantized(plane, 1, n));
    if constexpr (kChannels > 2) word = word | shift_left<16>(quantized(plane, 2, n));
    if constexpr (kChannels > 3) word = word | shift_left<24>(quantized(plane, 3, n));
    return word;
  };
  while (begin < end) {
    const int64_t from = begin % pixels, n = pixels - from < end - begin ? pixels - from : end - begin;
    const float* const planes = x + (begin - from) * kChannels + from;
    uint8_t* const to = out + begin * kChannels;
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) store_low_bytes<kChannels>(to + i * kChannels, pixels_at(planes + i, kWidth));
    if (i < n) {
      uint8_t last[kWidth * kChannels];
      store_low_bytes<kChannels>(last, pixels_at(planes + i, int(n - i)));
      __builtin_memcpy(to + i * kChannels, last, size_t((n - i) * kChannels));
    }
    begin += n;
  }
}

template <class Quantized, int kChannels>
void interleave(const QuantizeParams& p, const Call& call, int64_t begin, int64_t end) {
  const auto* const scale = static_cast<const float*>(call.operand[1]);
  const int64_t step = p.scale_strides[2];
  Divisor divisor[kChannels];
  bool is_usual = true;
  for (int c = 0; c < kChannels; ++c) {
    divisor[c] = Divisor(scale[c * step]);
    is_usual = is_usual && divisor[c].is_usual();
  }
  if (is_usual)
    interleave_quotients<Quantized, kChannels>(p, call, begin, end, [&](V v, int c) { return divisor[c].divide(v); });
  else
    interleave_quotients<Quantized, kChannels>(p, call, begin, end,
                                               [&](V v, int c) { return v / set(scale[c * step]); });
}

template <class Quantized>
RL_INLINE void quantize_planes(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const QuantizeParams*>(call.params);
  const Blocks blocks(p.rank, p.shape);
  begin *= blocks.group();
  end = end * blocks.group() < blocks.rows ? end * blocks.group() : blocks.rows;
  if (p.shape[2] == 2) return interleave<Quantized, 2>(p, call, begin, end);
  if (p.shape[2] == 3) return interleave<Quantized, 3>(p, call, begin, end);
  interleave<Quantized, 4>(p, call, begin, end);
}

}  // namespace

#define PLANES(types, Quantized)                                                       \
  void RL_ROW(quantize_planes_##types)(const Call& call, int64_t begin, int64_t end) { \
    quantize_planes<Quantized>(call, begin, end);                                      \
  }
#define QUANTIZE(op, types, Quantized)                                      \
  void RL_ROW(op##_##types)(const Call& call, int64_t begin, int64_t end) { \
    map_scaled<op<Quantized>>(call, begin, end);                            \
  }
#include "kernels/quantize/kernels.inc"
#undef QUANTIZE
#undef PLANES

}  // namespace rushlight
