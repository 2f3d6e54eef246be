#include "kernels/rnn/generic.h"

namespace rushlight {

void lstm_scan_f32_1x16_generic(const Call& call, int64_t begin, int64_t end) { recur<Lstm, 1>(call, begin, end); }
void gru_scan_f32_1x16_generic(const Call& call, int64_t begin, int64_t end) { recur<Gru, 1>(call, begin, end); }

}  // namespace rushlight
