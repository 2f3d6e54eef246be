// Steps of four bytes by VNNI, for its ISA files.
#pragma once

#include <cstring>

#include "kernels/qattention/tile.h"
#include "kernels/vec/vnni.h"

namespace rushlight {
namespace {

struct ByteStep {
  using Number = uint8_t;
  static constexpr int kDepth = 4;
  static constexpr bool kIsUnsigned = true;

  static RL_INLINE VI broadcast(const uint8_t* p) { return set_i(*reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE VI load(const std::byte* p) { return load_i(reinterpret_cast<const int32_t*>(p)); }
  static RL_INLINE void multiply_add(VI& sum, VI a, VI b) { dot_bytes(sum, a, b); }

  // n bytes, zeros after them up to a whole step; whole vectors are stored. The sum of the bytes, but for the lanes'.
  static RL_INLINE VI encode_row(const uint8_t* from, int64_t n, int32_t, uint8_t* to) {
    VI sum = set_i(0);
    copy(from, n, [&](int64_t i, VI words) __attribute__((always_inline)) {
      dot_bytes(sum, words, set_i(0x01010101));
      store_i(reinterpret_cast<int32_t*>(to) + i, words);
    });
    return sum;
  }
  // The same, each byte less 128.
  static RL_INLINE void encode_column(const uint8_t* from, int64_t n, int32_t, std::byte* to) {
    copy(from, n, [&](int64_t i, VI words) __attribute__((always_inline)) {
      store_i(reinterpret_cast<int32_t*>(to) + i, words ^ set_i(kFlip));
    });
    if (n % kDepth != 0) std::memset(to + n, 0, size_t(kDepth - n % kDepth));
  }

  // A step of columns from kDepth rows: `count` bytes from each.
  static RL_INLINE VI interleave(const uint8_t* const (&rows)[kDepth], int64_t at, int count, int32_t) {
    const VI low = load_u8_n(rows[0] + at, count) | shift_left<8>(load_u8_n(rows[1] + at, count));
    const VI high = load_u8_n(rows[2] + at, count) | shift_left<8>(load_u8_n(rows[3] + at, count));
    return (low | shift_left<16>(high)) ^ set_i(kFlip);
  }

  static RL_INLINE void store_four_numbers(uint8_t* to, VI a, VI b, VI c, VI d) { store_four(to, a, b, c, d); }
  static RL_INLINE void store_numbers(uint8_t* to, VI a) { store_u8(to, a); }

 private:
  static constexpr int32_t kFlip = int32_t(0x80808080u);

  // take(i, words) for the vectors of words, from word i on.
  template <class Take>
  static RL_INLINE void copy(const uint8_t* from, int64_t n, Take take) {
    const int32_t* const words = reinterpret_cast<const int32_t*>(from);
    const int64_t whole = n / kDepth;
    int64_t i = 0;
    for (; i + kWidth <= whole; i += kWidth) take(i, load_i(words + i));
    if (i * kDepth == n) return;
    if (n % kDepth == 0) return take(i, load_i_n(words + i, int(whole - i)));
    int32_t last[kWidth] = {};
    std::memcpy(last, words + i, size_t(n - i * kDepth));
    take(i, load_i(last));
  }
};

}  // namespace
}  // namespace rushlight
