#include "kernels/depthwise/f32.h"
#include "kernels/depthwise/u8s8.h"
#include "kernels/vec/bytes_ymm.h"
#include "kernels/vec/bytes_zmm.h"

namespace rushlight {

void depthwise_f32_7x32_avx512(const Call& call, int64_t begin, int64_t end) { depthwise_f32<2>(call, begin, end); }
void depthwise_u8s8u8_7x64_avx512(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<BytesZmm, BytesYmm, uint8_t>(call, begin, end);
}
void depthwise_u8s8f32_7x64_avx512(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<BytesZmm, BytesYmm, float>(call, begin, end);
}

}  // namespace rushlight
