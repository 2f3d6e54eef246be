// The pads of the CPU's family kernels/move, in bytes: a thread makes a word of axes.vector bytes, whatever the
// elements. Grid: any number of blocks of 256 threads.
#include "axes.cuh"

struct PadCall {
  const uint8_t* src;
  uint8_t* dst;
  uint64_t value;      // the element's bits again and again
  Axes axes;           // of src and dst
  int64_t begin[9];    // of each axis, what lies before src
  int64_t inside[9];   // what src has
  int32_t is_reflect;  // else outside of src is its edge, or
  int32_t is_constant;
};

namespace {

template <int Bytes>
DEVICE void pad(const PadCall& p) {
  for_each_unit(p.axes, [&](uint32_t unit) {
    int64_t from = 0, to = 0;
    bool is_outside = false;
    uint32_t byte = 0;
    for_each_axis(p.axes, unit, [&](uint32_t axis, uint32_t place) {
      const int64_t last = p.inside[axis] - 1;
      int64_t m = static_cast<int64_t>(place) - p.begin[axis];
      if (m < 0 || m > last) {
        is_outside = true;
        if (p.is_reflect) m = m < 0 ? -m : 2 * last - m;
        m = m < 0 ? 0 : m > last ? last : m;
      }
      from += m * p.axes.strides[axis * kStridedOperands];
      to += place * p.axes.strides[axis * kStridedOperands + 1];
      if (axis == 0) byte = place * Bytes % 8;
    });
    Pack<uint8_t, Bytes> word;
    if (is_outside && p.is_constant) {
#pragma unroll
      for (uint32_t i = 0; i < Bytes; ++i) word.lane[i] = static_cast<uint8_t>(p.value >> (byte + i) % 8 * 8);
    } else {
      word = read_pack<Bytes>(p.src + from, true);
    }
    write_pack(p.dst + to, word);
  });
}

}  // namespace

KERNEL(move_pad, kUnitThreads, 1, PadCall) {
  switch (p.axes.vector) {
    case 16: return pad<16>(p);
    case 8: return pad<8>(p);
    case 4: return pad<4>(p);
    case 2: return pad<2>(p);
    default: return pad<1>(p);
  }
}
