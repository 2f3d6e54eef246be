// All steps of a recurrence, a block for ROWS rows of the batch, whose states stay in shared memory: no other block has
// to be waited for. Grid: (rows / ROWS) blocks of whole warps; shared memory: States of ROWS rows.
#include "rnn.cuh"

namespace {
constexpr int kThreads = 512;
}

KERNEL(rnn_rows, kThreads, 1, RnnCall) {
  SHARED_MEMORY(shared);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * ROWS, pitch = pitch_of(p);
  const int count = p.p.rows - row < ROWS ? static_cast<int>(p.p.rows - row) : ROWS;
  const States states(shared, ROWS, pitch);
  for (int64_t i = threadIdx.x; i < count * pitch; i += blockDim.x) {
    const int64_t at = i / pitch;
    start_state(p, states, at, row + at, i - at * pitch);
  }
  sync_threads();
  const int64_t first = threadIdx.x / 32 * kUnits, units = blockDim.x / 32 * kUnits;
  for (int64_t step = p.first; step < p.last; ++step) {
    const int turn = static_cast<int>(step - p.first) % 2;
    const auto all_units = [&](auto make) {
      for (int64_t unit = first; unit < p.p.hidden; unit += units) make(unit);
      sync_threads();
    };
    if (kIsLstm || p.p.linear_before_reset) {
      all_units([&](int64_t unit) { advance<kWhole>(p, states, step, turn, row, count, 0, unit); });
    } else if constexpr (!kIsLstm) {
      all_units([&](int64_t unit) { advance<kResetAndUpdate>(p, states, step, turn, row, count, 0, unit); });
      all_units([&](int64_t unit) { advance<kNew>(p, states, step, turn, row, count, 0, unit); });
    }
  }
}
