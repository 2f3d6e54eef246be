#include "kernels/move/blocks_neon.h"
#include "kernels/move/copy.h"

namespace rushlight {

void copy_x8_16x16_neon(const Call& call, int64_t begin, int64_t end) { copy<uint8_t, Block8>(call, begin, end); }
void copy_x16_8x8_neon(const Call& call, int64_t begin, int64_t end) { copy<uint16_t, Block16>(call, begin, end); }
void copy_x32_4x4_neon(const Call& call, int64_t begin, int64_t end) { copy<uint32_t, Block32>(call, begin, end); }
void copy_x64_2x2_neon(const Call& call, int64_t begin, int64_t end) { copy<uint64_t, Block64>(call, begin, end); }

}  // namespace rushlight
