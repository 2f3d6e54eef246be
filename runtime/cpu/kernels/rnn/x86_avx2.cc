#include "kernels/rnn/generic.h"

namespace rushlight {

void lstm_scan_f32_2x8_avx2(const Call& call, int64_t begin, int64_t end) { recur<Lstm, 2>(call, begin, end); }
void gru_scan_f32_2x8_avx2(const Call& call, int64_t begin, int64_t end) { recur<Gru, 2>(call, begin, end); }

}  // namespace rushlight
