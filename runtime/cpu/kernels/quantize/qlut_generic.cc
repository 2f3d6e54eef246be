// The portable table look-up.
#include "kernels/kernel.h"
#include "kernels/quantize/quantize.h"
#include "kernels/vec/broadcast.h"

namespace rushlight {

void qlut_u8u8u8_generic(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const QuantizeParams*>(call.params);
  const uint8_t* x = static_cast<const uint8_t*>(call.operand[0]);
  const uint8_t* table = static_cast<const uint8_t*>(call.operand[1]);
  uint8_t* out = static_cast<uint8_t*>(call.operand[3]);
  const int64_t* const strides[] = {p.scale_strides};
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&)[1], int64_t n) {
    for (int64_t i = to; i < to + n; ++i) out[i] = table[x[i]];
  });
}

}  // namespace rushlight
