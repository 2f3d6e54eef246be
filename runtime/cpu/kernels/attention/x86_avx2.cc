#include "kernels/attention/generic.h"
#include "kernels/move/blocks_ymm.h"

namespace rushlight {

void attention_f32_6x16_avx2(const Call& call, int64_t begin, int64_t end) { attention<2, Block32>(call, begin, end); }

}  // namespace rushlight
