// Functions of elements, one after the other, as runtime/cuda/chains.py writes them down: READS, STEPS and WRITES are
// sequences of the macros below. What x0, x1, ... (read), c0, c1, ... (parameters) and v0, v1, ... (made by steps)
// stand for are packs of WIDEST elements or fewer. Every step is the function of its CPU family, so that a chain has
// the bits of its steps one by one. Grid: any number of blocks of 256 threads.
#include "bytes.cuh"
#include "fmod.cuh"
#include "kernels/binary/functions.h"
#include "kernels/binary/scalar.h"
#include "kernels/cast/casting.h"
#include "kernels/qbinary/functions.h"
#include "kernels/quantize/functions.h"
#include "kernels/unary/functions.h"

using namespace rushlight;

struct ChainCall {
  const void* in0;
  const void* in1;
  const void* in2;
  const void* in3;
  const void* in4;
  const void* in5;
  const void* in6;
  const void* in7;
  void* out0;
  void* out1;
  void* out2;
  void* out3;
  Axes axes;  // of the operands that are STRIDED, by column
  float numbers[48];
};

namespace {

template <class T, int N, class Function>
DEVICE Pack<T, N> lanes(Function function) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.lane[i] = function(i);
  return pack;
}

DEVICE uint8_t lane_of(Bool x) { return x.byte; }
template <class T>
DEVICE T lane_of(T x) {
  return x;
}
template <class T>
using LaneOf = decltype(lane_of(T()));

// Bytes as the floats that functions of them take.
template <class T, int N>
DEVICE Pack<float, N> floats(const Pack<T, N>& pack) {
  if constexpr (__is_same(T, float)) {
    return pack;
  } else {
    float values[N];
    widen(pack, values);
    return lanes<float, N>([&](int i) { return values[i]; });
  }
}

template <class Byte, int N>
DEVICE Pack<Byte, N> saturated(const Pack<float, N>& pack) {
  constexpr float kLow = Byte(-1) < Byte(0) ? -128.0f : 0.0f;
  return narrow<Byte>(pack.lane, kLow, kLow + 255.0f);
}

template <class Op, class X, class Zero, int N>
DEVICE Pack<float, N> scaled(const Pack<X, N>& x, const Pack<float, N>& scale, const Pack<Zero, N>& zero) {
  const auto values = floats(x), zeros = floats(zero);
  return lanes<float, N>([&](int i) { return Op::apply(V{values.lane[i]}, V{scale.lane[i]}, V{zeros.lane[i]}).lane; });
}

template <class Op, int N>
DEVICE Pack<uint8_t, N> combined(const Pack<uint8_t, N>& a, const Pack<uint8_t, N>& b, const float* numbers) {
  const QbinaryParams p = {.a_zero_point = static_cast<int64_t>(numbers[0]),
                           .b_zero_point = static_cast<int64_t>(numbers[1]),
                           .a_scale = numbers[2],
                           .b_scale = numbers[3],
                           .scale = numbers[4],
                           .offset = numbers[5]};
  const Op function(p);
  const auto left = floats(a), right = floats(b);
  const auto out =
      lanes<float, N>([&](int i) { return function(V{left.lane[i]}, function.right(V{right.lane[i]})).lane; });
  return narrow<uint8_t>(out.lane, numbers[6], numbers[7]);
}

}  // namespace

#define DENSE(x, k, T) const auto x = read_pack<N>(static_cast<const T*>(p.in##k) + to, true);
#define SINGLE(x, k, T) const auto x = read_pack<N>(static_cast<const T*>(p.in##k), false);
#define STRIDED(x, k, T, column) \
  const auto x = read_pack<N>(static_cast<const T*>(p.in##k) + from.of[column], varies(p.axes, column));
#define WRITE(k, T, v) write_pack(static_cast<T*>(p.out##k) + to, v);

#define NUMBER(c, at) const auto c = lanes<float, N>([&](int) { return p.numbers[at]; });
#define LANES(v, T, ...) const auto v = lanes<T, N>([&](int i) { return static_cast<T>(__VA_ARGS__); });
#define UNARY(v, op, x, at) \
  LANES(v, float, RL_UNARY(op)(V{x.lane[i]}, UnaryParams{0, p.numbers[at], p.numbers[at + 1]}).lane)
#define CAST(v, op, From, To, x) LANES(v, LaneOf<To>, lane_of(Casting<From, To>::op(From{x.lane[i]})))
#define FLOAT(v, op, a, b) LANES(v, float, binary::op(V{a.lane[i]}, V{b.lane[i]}).lane)
#define COMPARE(v, op, a, b) LANES(v, uint8_t, binary::op(V{a.lane[i]}, V{b.lane[i]}).lane)
#define SCALAR(v, T, op, a, b) LANES(v, T, rushlight::op(a.lane[i], b.lane[i]))
#define LOGIC(v, op, a, b) LANES(v, uint8_t, rushlight::op(a.lane[i] != 0, b.lane[i] != 0))
#define WHERE(v, T, condition, a, b) LANES(v, T, condition.lane[i] != 0 ? a.lane[i] : b.lane[i])
#define SCALE(v, kind, x, scale, offset, at)                                                                      \
  LANES(v, float,                                                                                                 \
        apply_activation(fma(V{x.lane[i]}, V{scale.lane[i]}, V{offset.lane[i]}), Activation::kind, p.numbers[at], \
                         p.numbers[at + 1])                                                                       \
            .lane)
#define QUANTIZE(v, Byte, x, scale, zero) const auto v = saturated<Byte>(scaled<quantize<Byte>>(x, scale, zero));
#define DEQUANTIZE(v, Byte, x, scale, zero) const auto v = scaled<dequantize<Byte>>(x, scale, zero);
#define QAFFINE(v, Byte, x, scale, offset) const auto v = saturated<Byte>(scaled<qaffine<Byte>>(x, scale, offset));
#define LOOK_UP(v, x, k) LANES(v, uint8_t, static_cast<const uint8_t*>(p.in##k)[x.lane[i]])
#define QBINARY(v, op, a, b, at) const auto v = combined<op>(a, b, p.numbers + at);

KERNEL(chain, kUnitThreads, 1, ChainCall) {
  map_elements<COLUMNS, WIDEST>(p.axes, [&]<int N>(int64_t to, const Offsets<COLUMNS>& from) { READS STEPS WRITES });
}
