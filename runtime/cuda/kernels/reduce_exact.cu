// Exact reductions, of the family kernels/reduce of the CPU. `detail`: 2^detail threads share out a line. Grid: a block
// of 256 threads for 256 / 2^detail lines.
#include "exact.cuh"
#include "lines.cuh"

KERNEL(reduce_exact, kLineThreads, 1, ReduceCall) {
  SHARED_MEMORY(shared);
  using Op = OP<INPUT>;
  Line line(p.p, static_cast<int>(p.detail));
  const INPUT result = line.reduce(
      INPUT(Op::identity), p.p, p.x, reinterpret_cast<INPUT*>(shared),
      [](INPUT state, INPUT x, int64_t) { return Op::combine(state, x); },
      [](INPUT a, INPUT b) { return Op::combine(a, b); });
  if (line.leads()) p.out[line.index] = result;
}
