#include "kernels/rnn/byte_step.h"
#include "kernels/rnn/generic.h"

namespace rushlight {
namespace {

using Integers = IntegerProduct<ByteStep, 2, 8>;

}  // namespace

void qlstm_scan_f32s8f32_4x16_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  recur<Lstm, Integers, 4>(call, begin, end);
}

void qgru_scan_f32s8f32_4x16_avx512vnni(const Call& call, int64_t begin, int64_t end) {
  recur<Gru, Integers, 4>(call, begin, end);
}

}  // namespace rushlight
