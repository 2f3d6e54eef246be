// The states of all rows before the first step. Grid: any number of blocks of 256 threads.
#include "elementwise.cuh"
#include "rnn.cuh"

KERNEL(rnn_start, kElementThreads, 1, RnnCall) {
  const int64_t pitch = pitch_of(p);
  const States states(p.states, p.p.rows, pitch);
  for_each_element(p.p.rows * pitch, [&](int64_t i) {
    const int64_t row = i / pitch;
    start_state(p, states, row, row, i - row * pitch);
  });
}
