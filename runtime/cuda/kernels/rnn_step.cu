// Step p.first of a recurrence, or a phase of it, by the whole device: launch after launch is what makes all units wait
// for all others. Grid: a warp for eight units of ROWS rows.
#include "rnn.cuh"

namespace {
constexpr int kThreads = 128;
}

KERNEL(rnn_step, kThreads, 1, RnnCall) {
  const int64_t groups = (p.p.hidden + kUnits - 1) / kUnits;
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  const int64_t row = warp / groups * ROWS, unit = warp % groups * kUnits;
  if (row >= p.p.rows) return;
  const int count = p.p.rows - row < ROWS ? static_cast<int>(p.p.rows - row) : ROWS;
  const States states(p.states, p.p.rows, pitch_of(p));
  const int turn = static_cast<int>(p.first % 2);
  if (kIsLstm || p.phase == kWhole) {
    advance<kWhole>(p, states, p.first, turn, row, count, row, unit);
  } else if constexpr (!kIsLstm) {
    if (p.phase == kResetAndUpdate) {
      advance<kResetAndUpdate>(p, states, p.first, turn, row, count, row, unit);
    } else {
      advance<kNew>(p, states, p.first, turn, row, count, row, unit);
    }
  }
}
