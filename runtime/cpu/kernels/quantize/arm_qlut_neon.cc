#include "kernels/quantize/qlut.h"
#include "kernels/vec/bytes_neon.h"

namespace rushlight {
namespace {

// Quarters of 64 results: TBX leaves alone what lies beyond its quarter.
struct Quarters {
  uint8x16x4_t quarter[4];

  RL_INLINE explicit Quarters(const uint8_t* table) {
    for (int i = 0; i < 4; ++i) quarter[i] = vld1q_u8_x4(table + 64 * i);
  }
  RL_INLINE int32x4_t look_up(int32x4_t x) const {
    const uint8x16_t index = vreinterpretq_u8_s32(x);
    uint8x16_t result = vqtbl4q_u8(quarter[0], index);
    for (int i = 1; i < 4; ++i) result = vqtbx4q_u8(result, quarter[i], vsubq_u8(index, vdupq_n_u8(uint8_t(64 * i))));
    return vreinterpretq_s32_u8(result);
  }
};

}  // namespace

void qlut_u8u8u8_neon(const Call& call, int64_t begin, int64_t end) { qlut<BytesNeon, Quarters>(call, begin, end); }

}  // namespace rushlight
