#include "kernels/qattention/generic.h"

#include "kernels/move/block_generic.h"
#include "kernels/qattention/word_step.h"

namespace rushlight {

void qattention_u8_6x16_generic(const Call& call, int64_t begin, int64_t end) {
  qattention<WordStep, 1, Block<uint32_t>>(call, begin, end);
}

}  // namespace rushlight
