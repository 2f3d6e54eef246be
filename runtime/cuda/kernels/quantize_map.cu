// The family kernels/quantize of the CPU: OP is quantize, dequantize or qaffine, BYTE its 8-bit type. Grid: any number
// of blocks of 256 threads.
#include "bytes.cuh"
#include "kernels/quantize/functions.h"

using namespace rushlight;

namespace {

using Op = OP<BYTE>;
using X = Op::X;
using Zero = Op::Zero;
using Out = Op::Out;

constexpr bool kDivides = __is_same(X, float);
constexpr int kWidest = sizeof(X) == sizeof(Out) ? 16 : 4;

template <int N>
DEVICE void widen(const Pack<float, N>& pack, float (&values)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = pack.lane[i];
}

template <class T, int N>
DEVICE Pack<T, N> pack_of(const float (&values)[N]) {
  if constexpr (__is_same(T, float)) {
    Pack<float, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) pack.lane[i] = values[i];
    return pack;
  } else {
    constexpr float low = T(-1) < T(0) ? -128.0f : 0.0f;
    return narrow<T>(values, low, low + 255.0f);
  }
}

}  // namespace

struct QuantizeCall {
  const X* x;
  const float* scale;
  const Zero* zero_point;
  Out* out;
  Axes axes;  // of scale and zero_point
};

KERNEL(quantize_map, kUnitThreads, 1, QuantizeCall) {
  const bool is_row = varies(p.axes, 0);
  if (p.axes.rank == 1 && p.axes.strides[0] == 0 && !is_row) {
    const V scale = {*p.scale}, zero = {static_cast<float>(*p.zero_point)};
    const auto map = [&](auto function) {
      map_elements<1, kWidest>(p.axes, [&]<int N>(int64_t to, const Offsets<1>&) {
        float x[N], out[N];
        widen(read_pack<N>(p.x + to, true), x);
#pragma unroll
        for (int i = 0; i < N; ++i) out[i] = function(V{x[i]}).lane;
        write_pack(p.out + to, pack_of<Out>(out));
      });
    };
    if constexpr (kDivides) {
      const Divisor divisor(scale.lane);
      if (divisor.is_usual()) return map([&](V x) { return round(divisor.divide(x)) + zero; });
    }
    return map([&](V x) { return Op::apply(x, scale, zero); });
  }
  map_elements<1, kWidest>(p.axes, [&]<int N>(int64_t to, const Offsets<1>& from) {
    float x[N], scale[N], zero[N], out[N];
    widen(read_pack<N>(p.x + to, true), x);
    widen(read_pack<N>(p.scale + from.of[0], is_row), scale);
    widen(read_pack<N>(p.zero_point + from.of[0], is_row), zero);
#pragma unroll
    for (int i = 0; i < N; ++i) out[i] = Op::apply(V{x[i]}, V{scale[i]}, V{zero[i]}).lane;
    write_pack(p.out + to, pack_of<Out>(out));
  });
}
