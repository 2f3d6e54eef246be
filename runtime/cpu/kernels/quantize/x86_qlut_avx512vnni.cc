// CPUs with VNNI have VBMI too, but for the first of them.
#include "kernels/quantize/qlut.h"
#include "kernels/vec/bytes_zmm.h"

namespace rushlight {

void qlut_u8u8u8_avx512(const Call& call, int64_t begin, int64_t end);

namespace {

// Two halves of 128 results, chosen by bit 7.
struct Halves {
  __m512i quarter[4];

  RL_INLINE explicit Halves(const uint8_t* table) {
    for (int i = 0; i < 4; ++i) quarter[i] = _mm512_loadu_si512(table + 64 * i);
  }
  // An intrinsic would need a function compiled for VBMI.
  static RL_INLINE __m512i permute(__m512i x, __m512i low, __m512i high) {
    asm("vpermi2b %2, %1, %0" : "+v"(x) : "v"(low), "v"(high));
    return x;
  }
  RL_INLINE __m512i look_up(__m512i x) const {
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), permute(x, quarter[0], quarter[1]),
                                  permute(x, quarter[2], quarter[3]));
  }
};

}  // namespace

void qlut_u8u8u8_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  if (__builtin_cpu_supports("avx512vbmi")) return qlut<BytesZmm, Halves>(call, begin, end);
  qlut_u8u8u8_avx512(call, begin, end);
}

}  // namespace rushlight
