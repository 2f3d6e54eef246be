#include "kernels/depthwise/u8s8.h"
#include "kernels/vec/bytes_neon.h"

namespace rushlight {

void depthwise_u8s8u8_7x16_neondot(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<BytesNeon, BytesNeon, uint8_t>(call, begin, end);
}
void depthwise_u8s8f32_7x16_neondot(const Call& call, int64_t begin, int64_t end) {
  depthwise_u8s8<BytesNeon, BytesNeon, float>(call, begin, end);
}

}  // namespace rushlight
