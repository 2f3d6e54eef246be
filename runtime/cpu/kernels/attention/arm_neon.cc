#include "kernels/attention/generic.h"
#include "kernels/move/blocks_neon.h"

namespace rushlight {

void attention_f32_6x16_neon(const Call& call, int64_t begin, int64_t end) { attention<4, Block32>(call, begin, end); }

}  // namespace rushlight
