#include "kernels/move/blocks_neon.h"
#include "kernels/qattention/generic.h"
#include "kernels/qattention/word_step.h"

namespace rushlight {

void qattention_u8_6x16_neon(const Call& call, int64_t begin, int64_t end) {
  qattention<WordStep, 4, Block32>(call, begin, end);
}

}  // namespace rushlight
