// argmax (IS_MAXIMUM) and argmin, of the family kernels/reduce of the CPU. `detail`: 2^detail threads share out a line.
// Grid: a block of 256 threads for 256 / 2^detail lines.
#include "lines.cuh"

namespace {

// The best of some elements, the first of several; none yet where the position is -1.
struct Best {
  INPUT value;
  int64_t position;
};

// A NaN is better than any number.
DEVICE bool is_better(INPUT a, INPUT b) {
  if (b != b) return false;
  return a != a || (IS_MAXIMUM ? a > b : a < b);
}

DEVICE Best better(Best a, Best b) {
  if (b.position < 0) return a;
  if (a.position < 0 || is_better(b.value, a.value)) return b;
  return is_better(a.value, b.value) || a.position < b.position ? a : b;
}

}  // namespace

KERNEL(reduce_position, kLineThreads, 1, ReduceCall) {
  SHARED_MEMORY(shared);
  Line line(p.p, static_cast<int>(p.detail));
  const Best best = line.reduce(
      Best{0, -1}, p.p, p.x, reinterpret_cast<Best*>(shared),
      [](Best state, INPUT x, int64_t k) {
        return state.position < 0 || is_better(x, state.value) ? Best{x, k} : state;
      },
      better);
  if (line.leads()) p.out[line.index] = best.position < 0 ? 0 : best.position;
}
