// The family kernels/quantize of the CPU: OP is quantize, dequantize or qaffine, BYTE its 8-bit type. Grid: any number
// of blocks of 256 threads.
#include "axes.cuh"
#include "kernels/quantize/functions.h"

using namespace rushlight;

namespace {

using Op = OP<BYTE>;
using X = Op::X;
using Zero = Op::Zero;
using Out = Op::Out;

constexpr bool kDivides = __is_same(X, float);
constexpr int kWidest = sizeof(X) == sizeof(Out) ? 16 : 4;

template <class T>
DEVICE V widen(T x) {
  return {static_cast<float>(x)};
}
DEVICE void narrow(V v, float& out) { out = v.lane; }
DEVICE void narrow(V v, BYTE& out) { out = static_cast<BYTE>(byte_in_word(v, BYTE()).lane); }

}  // namespace

struct QuantizeCall {
  const X* x;
  const float* scale;
  const Zero* zero_point;
  Out* out;
  Axes axes;  // of scale and zero_point
};

KERNEL(quantize_map, kUnitThreads, 1, QuantizeCall) {
  if (p.axes.rank == 1 && p.axes.strides[0] == 0) {
    const V scale = {*p.scale}, zero = widen(*p.zero_point);
    const auto map = [&](auto function) {
      map_elements<1, kWidest>(p.axes, [&]<int N>(int64_t to, const Offsets<1>&) {
        const auto x = read_pack<N>(p.x + to, true);
        Pack<Out, N> out;
#pragma unroll
        for (int i = 0; i < N; ++i) narrow(function(widen(x.lane[i])), out.lane[i]);
        write_pack(p.out + to, out);
      });
    };
    if constexpr (kDivides) {
      const Divisor divisor(scale.lane);
      if (divisor.is_usual()) return map([&](V x) { return round(divisor.divide(x)) + zero; });
    }
    return map([&](V x) { return Op::apply(x, scale, zero); });
  }
  const bool is_row = varies(p.axes, 0);
  map_elements<1, kWidest>(p.axes, [&]<int N>(int64_t to, const Offsets<1>& from) {
    const auto x = read_pack<N>(p.x + to, true);
    const auto scale = read_pack<N>(p.scale + from.of[0], is_row);
    const auto zero = read_pack<N>(p.zero_point + from.of[0], is_row);
    Pack<Out, N> out;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      narrow(Op::apply(widen(x.lane[i]), V{scale.lane[i]}, widen(zero.lane[i])), out.lane[i]);
    }
    write_pack(p.out + to, out);
  });
}
