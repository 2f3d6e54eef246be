// What the kernels of the family resize share.
#pragma once
#include "device.cuh"
#include "kernels/resize/taps.h"

using namespace rushlight;

template <int K>
struct PlaceOf {
  using Type = Taps<K>;
};
template <>
struct PlaceOf<1> {
  using Type = int64_t;
};
using Place = PlaceOf<TAPS>::Type;

struct ResizeCall {
  const ELEMENT* src;
  ELEMENT* dst;
  const Place* rows;     // [oh]
  const Place* columns;  // [ow]
  ResizeParams p;
};
