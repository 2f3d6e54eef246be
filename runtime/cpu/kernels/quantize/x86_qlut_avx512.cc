#include "kernels/quantize/qlut.h"
#include "kernels/vec/bytes_zmm.h"

namespace rushlight {
namespace {

// Sixteen rows of sixteen results: the low four bits of a byte choose within all rows, the high ones among rows.
struct Rows {
  __m512i row[16];

  RL_INLINE explicit Rows(const uint8_t* table) {
    for (int i = 0; i < 16; ++i)
      row[i] = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table) + i));
  }
  RL_INLINE __m512i look_up(__m512i x) const {
    const __m512i low = _mm512_and_si512(x, _mm512_set1_epi8(15)), x2 = _mm512_add_epi8(x, x);
    const __m512i x4 = _mm512_add_epi8(x2, x2), x8 = _mm512_add_epi8(x4, x4);
    const __mmask64 bit7 = _mm512_movepi8_mask(x), bit6 = _mm512_movepi8_mask(x2), bit5 = _mm512_movepi8_mask(x4),
                    bit4 = _mm512_movepi8_mask(x8);
    const auto two_rows = [&](int i) __attribute__((always_inline)) {
      return _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(row[i], low), bit4, row[i + 1], low);
    };
    const auto four_rows = [&](int i) __attribute__((always_inline)) {
      return _mm512_mask_blend_epi8(bit5, two_rows(i), two_rows(i + 2));
    };
    const auto eight_rows = [&](int i) __attribute__((always_inline)) {
      return _mm512_mask_blend_epi8(bit6, four_rows(i), four_rows(i + 4));
    };
    return _mm512_mask_blend_epi8(bit7, eight_rows(0), eight_rows(8));
  }
};

}  // namespace

void qlut_u8u8u8_avx512(const Call& call, int64_t begin, int64_t end) { qlut<BytesZmm, Rows>(call, begin, end); }

}  // namespace rushlight
