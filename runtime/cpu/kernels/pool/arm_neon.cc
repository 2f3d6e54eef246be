#include "kernels/pool/max_bytes.h"
#include "kernels/vec/bytes_neon.h"

namespace rushlight {

void max_pool_f32_1x16_neon(const Call& call, int64_t begin, int64_t end) { pool<MaxF32>(call, begin, end); }
void max_pool_u8_1x64_neon(const Call& call, int64_t begin, int64_t end) {
  pool<MaxBytes<BytesNeon>>(call, begin, end);
}
void avg_pool_f32_1x16_neon(const Call& call, int64_t begin, int64_t end) { pool<AvgF32>(call, begin, end); }
void avg_pool_u8_1x16_neon(const Call& call, int64_t begin, int64_t end) { pool<AvgU8>(call, begin, end); }

}  // namespace rushlight
