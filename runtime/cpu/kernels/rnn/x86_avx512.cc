#include "kernels/rnn/generic.h"
#include "kernels/rnn/word_step.h"

namespace rushlight {
namespace {

using Integers = IntegerProduct<WordStep, 1, 16>;

}  // namespace

void lstm_f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) { run_layer<Lstm, 4>(call, begin, end); }

void gru_f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) { run_layer<Gru, 4>(call, begin, end); }

void lstm_scan_f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) {
  recur<Lstm, FloatProduct, 4>(call, begin, end);
}

void gru_scan_f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) {
  recur<Gru, FloatProduct, 4>(call, begin, end);
}

void qlstm_scan_f32s8f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) {
  recur<Lstm, Integers, 4>(call, begin, end);
}

void qgru_scan_f32s8f32_4x16_avx512(const Call& call, int64_t begin, int64_t end) {
  recur<Gru, Integers, 4>(call, begin, end);
}

}  // namespace rushlight
