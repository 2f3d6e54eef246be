#include "kernels/move/blocks_ymm.h"
#include "kernels/qattention/byte_step.h"
#include "kernels/qattention/generic.h"

namespace rushlight {

void qattention_u8_6x16_avxvnni(const Call& call, int64_t begin, int64_t end) {
  qattention<ByteStep, 2, Block32>(call, begin, end);
}

}  // namespace rushlight
