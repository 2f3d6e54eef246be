// The ISA files' template.
#pragma once

#include "kernels/quantize/quantize.h"
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
// What is out of range as float would be so as int32 too, but for what int32 cannot hold.
RL_INLINE VI to_byte(V v, float low, float high) { return round_int(min(max(v, set(low)), set(high))); }
RL_INLINE void put(uint8_t* p, V v) { store_u8(p, to_byte(v, 0.0f, 255.0f)); }
RL_INLINE void put(uint8_t* p, V v, int n) { store_u8_n(p, to_byte(v, 0.0f, 255.0f), n); }
RL_INLINE void put(int8_t* p, V v) { store_s8(p, to_byte(v, -128.0f, 127.0f)); }
RL_INLINE void put(int8_t* p, V v, int n) { store_s8_n(p, to_byte(v, -128.0f, 127.0f), n); }

template <class Quantized>
struct quantize {
  using X = float;
  using Out = Quantized;
  using Zero = Quantized;
  RL_INLINE static V apply(V x, V scale, V zero) { return round(x / scale) + zero; }
};
template <class Quantized>
struct dequantize {
  using X = Quantized;
  using Out = float;
  using Zero = Quantized;
  RL_INLINE static V apply(V x, V scale, V zero) { return (x - zero) * scale; }
};
template <class Quantized>
struct qaffine {
  using X = Quantized;
  using Out = Quantized;
  using Zero = float;
  RL_INLINE static V apply(V x, V scale, V offset) { return fma(x, scale, offset); }
};

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
    int64_t i = 0;
    if (varies) {
      for (; i + kWidth <= n; i += kWidth) put(out + to + i, Op::apply(get(x + to + i), get(s + i), get(z + i)));
      const int left = int(n - i);
      if (left > 0) put(out + to + i, Op::apply(get(x + to + i, left), get(s + i, left), get(z + i, left)), left);
    } else {
      const V vs = set(*s), vz = set(float(*z));
      for (; i + kWidth <= n; i += kWidth) put(out + to + i, Op::apply(get(x + to + i), vs, vz));
      const int left = int(n - i);
      if (left > 0) put(out + to + i, Op::apply(get(x + to + i, left), vs, vz), left);
    }
  });
}

}  // namespace

#define QUANTIZE(op, types, Quantized)                                      \
  void RL_ROW(op##_##types)(const Call& call, int64_t begin, int64_t end) { \
    map_scaled<op<Quantized>>(call, begin, end);                            \
  }
#include "kernels/quantize/kernels.inc"
#undef QUANTIZE

}  // namespace rushlight
