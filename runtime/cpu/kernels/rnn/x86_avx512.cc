#include "kernels/rnn/generic.h"

namespace rushlight {

void lstm_scan_f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) { recur<Lstm, 4>(call, begin, end); }
void gru_scan_f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) { recur<Gru, 4>(call, begin, end); }

}  // namespace rushlight
