#include "kernels/depthwise/f32.h"
#include "kernels/depthwise/u8s8.h"
#include "kernels/vec/bytes_xmm.h"
#include "kernels/vec/bytes_ymm.h"

namespace rushlight {

void depthwise_f32_7x8_avx2(const Call& call, int64_t begin, int64_t end) { depthwise_f32<1>(call, begin, end); }
void depthwise_u8s8u8_4x32_avx2(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<BytesYmm, BytesXmm, uint8_t>(call, begin, end);
}
void depthwise_u8s8f32_4x32_avx2(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<BytesYmm, BytesXmm, float>(call, begin, end);
}

}  // namespace rushlight
