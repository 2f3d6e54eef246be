// The process's fork-join pool: one set of threads for all models.
#pragma once

#include <cstdint>

namespace rushlight {

// Announces that this thread will call parallel_for with at most `threads` now and then, while the object lives: the
// pool's threads wake, and wait for work without sleeping. When as many callers are inside as the pool may use CPUs,
// its threads stay out of their way and each caller works alone.
class ParallelRegion {
 public:
  explicit ParallelRegion(int threads);
  ParallelRegion(const ParallelRegion&) = delete;
  ParallelRegion& operator=(const ParallelRegion&) = delete;
  ~ParallelRegion();
};

// Runs body(context, thread, begin, end) over all of [0, n) in chunks of `chunk`, on the calling thread, inside its
// ParallelRegion, and at most threads - 1 others, and returns when all are done. Several callers may be inside at once:
// the pool's threads go to whoever asks first, and a caller always makes progress alone. `thread` is 0 for the caller,
// below `threads` for helpers.
using TaskFn = void (*)(void* context, int thread, int64_t begin, int64_t end);
void parallel_for(int threads, int64_t n, int64_t chunk, TaskFn body, void* context);

// Lets the CPU's other thread work while this one spins. ARM's `yield` does nothing on most CPUs; `isb` waits some
// tens of cycles, as x86's `pause` does.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// CPUs that this process may use: the smaller of its affinity mask and its cgroup's quota (v2 and v1), rounded up, at
// least 1.
int usable_cpus();

}  // namespace rushlight
