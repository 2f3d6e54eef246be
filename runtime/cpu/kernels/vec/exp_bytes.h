// Exponentials for results of a byte; for ISA files only.
#pragma once

#include "kernels/vec/math.h"

namespace rushlight {
namespace {

// 255 * 2^x for x <= 0 and 255 for x = 0, within 0.03; below -16, and for NaN, as for -16, which rounds to 0. One fixed
// sequence of operations. As in exp2_of_negative, a magic number rounds x to a whole number, biased as an exponent.
RL_INLINE V exp2_in_255ths(V x) {
  // 255 * (2^r - 1) / r on |r| <= 1/2; relative error of 2^r 2^-13.2.
  constexpr float c[] = {0x1.619304p+7f, 0x1.ee1c42p+5f, 0x1.c0df74p+3f};
  const V magic = set(0x1.8p+23f + 127.0f);
  x = max(x, set(-16.0f));
  const V shifted = x + magic;
  const V r = x - (shifted - magic);
  return fma(r, polynomial(r, c), set(255.0f)) * from_bits(shift_left<23>(bits(shifted)));
}

}  // namespace
}  // namespace rushlight
