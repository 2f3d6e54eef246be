#include "kernels/quantize/qlut.h"
#include "kernels/vec/bytes_ymm.h"

namespace rushlight {
namespace {

// A shuffle gives 0 for bytes with bit 7 set. Of the eight rows of sixteen results of each half of the table, row h is
// held as its difference (exclusive or) to row h - 1, and looked up by x - 16 h, which saturates below zero: the rows
// up to the byte's own add up to the result, those after it add 0, and so does the other half.
struct Differences {
  __m128i row[16];

  RL_INLINE explicit Differences(const uint8_t* table) {
    for (int i = 0; i < 16; ++i) {
      row[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table) + i);
      if (i % 8) row[i] = _mm_xor_si128(row[i], _mm_loadu_si128(reinterpret_cast<const __m128i*>(table) + i - 1));
    }
  }
  RL_INLINE __m256i look_up(__m256i x) const {
    __m256i low = x, high = _mm256_xor_si256(x, _mm256_set1_epi8(-128));
    __m256i a = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row[0]), low);
    __m256i b = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row[8]), high);
#pragma GCC unroll 8
    for (int i = 1; i < 8; ++i) {
      low = _mm256_subs_epi8(low, _mm256_set1_epi8(16));
      high = _mm256_subs_epi8(high, _mm256_set1_epi8(16));
      a = _mm256_xor_si256(a, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row[i]), low));
      b = _mm256_xor_si256(b, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row[i + 8]), high));
    }
    return _mm256_xor_si256(a, b);
  }
};

}  // namespace

void qlut_u8u8u8_avx2(const Call& call, int64_t begin, int64_t end) { qlut<BytesYmm, Differences>(call, begin, end); }

}  // namespace rushlight
