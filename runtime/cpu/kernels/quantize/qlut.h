// The table look-up, a register of bytes at a time; for ISA files. B is the register (vec/bytes_*.h), Table(const
// uint8_t* bytes) holds the 256 results in a form that look_up(Int x) reads.
#pragma once

#include "kernels/kernel.h"
#include "kernels/quantize/quantize.h"
#include "kernels/vec/broadcast.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

template <class B, class Table>
RL_INLINE void qlut(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const QuantizeParams*>(call.params);
  const auto* x = static_cast<const uint8_t*>(call.operand[0]);
  auto* out = static_cast<uint8_t*>(call.operand[3]);
  const Table table(static_cast<const uint8_t*>(call.operand[1]));
  const int64_t* const strides[] = {p.scale_strides};
  for_rows(p.rank, p.shape, strides, begin, end, [&](int64_t to, const int64_t (&)[1], int64_t n) {
    int64_t i = to;
    const int64_t stop = to + n;
    for (; i + B::kTile <= stop; i += B::kTile) B::store(out + i, table.look_up(B::load(x + i)));
    if (i < stop) B::store_n(out + i, table.look_up(B::load_n(x + i, int(stop - i))), int(stop - i));
  });
}

}  // namespace
}  // namespace rushlight
