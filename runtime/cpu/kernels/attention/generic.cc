#include "kernels/attention/generic.h"

#include "kernels/move/block_generic.h"

namespace rushlight {

void attention_f32_6x16_generic(const Call& call, int64_t begin, int64_t end) {
  attention<1, Block<uint32_t>>(call, begin, end);
}

}  // namespace rushlight
