#include "kernels/move/blocks_ymm.h"
#include "kernels/qattention/generic.h"
#include "kernels/qattention/word_step.h"

namespace rushlight {

void qattention_u8_6x16_avx2(const Call& call, int64_t begin, int64_t end) {
  qattention<WordStep, 2, Block32>(call, begin, end);
}

}  // namespace rushlight
