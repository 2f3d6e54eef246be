// Where output elements of one axis take their values. Internal linkage: ISA files include it.
#pragma once

#include "kernels/resize/resize.h"

namespace rushlight {
namespace {

struct Axis {
  int64_t inputs, outputs;
  double scale;
};

inline double position_of(const ResizeParams& p, const Axis& axis, int64_t o) {
  const double ratio = axis.scale == 0 ? double(axis.inputs) / double(axis.outputs) : 1 / axis.scale;
  switch (p.coordinates) {
    case 1:
      if (axis.outputs == 1) return 0;
      [[fallthrough]];
    case 0: return (double(o) + 0.5) * ratio - 0.5;
    case 2: return axis.outputs > 1 ? double(o) * (double(axis.inputs - 1) / double(axis.outputs - 1)) : 0;
    default: return double(o) * ratio;
  }
}

inline int64_t clamp_index(double at, int64_t size) {
  return at > 0 ? at < double(size - 1) ? int64_t(at) : size - 1 : 0;
}

inline int64_t nearest_of(const ResizeParams& p, const Axis& axis, int64_t o) {
  const double at = position_of(p, axis, o);
  const double rounded = p.rounding == 0   ? __builtin_floor(at)
                         : p.rounding == 1 ? __builtin_ceil(at)
                         : p.rounding == 2 ? __builtin_ceil(at - 0.5)
                                           : __builtin_floor(at + 0.5);
  return clamp_index(rounded, axis.inputs);
}

// The K taps of one output element: 2 linear, 4 cubic.
template <int K>
struct Taps {
  int64_t index[K];
  float weight[K];
};

// The cubic convolution kernel (Keys, 1981) with a = -0.75 at a distance within 0...2.
inline double cubic(double d) {
  constexpr double a = -0.75;
  return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : a * (((d - 5) * d + 8) * d - 4);
}

template <int K>
inline Taps<K> taps_of(const ResizeParams& p, const Axis& axis, int64_t o) {
  double at = position_of(p, axis, o);
  if (K == 2) at = at > 0 ? at < double(axis.inputs - 1) ? at : double(axis.inputs - 1) : 0;
  const double first = __builtin_floor(at), t = at - first;
  Taps<K> taps;
  for (int k = 0; k < K; ++k) {
    const int offset = K == 2 ? k : k - 1;
    taps.index[k] = clamp_index(first + offset, axis.inputs);
    taps.weight[k] = float(K == 2 ? (k == 0 ? 1 - t : t) : cubic(__builtin_fabs(t - offset)));
  }
  return taps;
}

}  // namespace
}  // namespace rushlight
