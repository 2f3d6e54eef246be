#include "peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>

#include "isa.h"
#include "pages.h"
#if defined(__x86_64__)
#include "peak_x86.h"
#elif defined(__aarch64__)
#include "peak_arm.h"
#endif
#include "pool.h"

namespace rushlight {

namespace {

constexpr int64_t kMemoryBytes = 128 << 20;  // more than the second-level cache of any CPU
constexpr int64_t kCacheBytes = 256 << 10;   // fits the second-level cache of any CPU that has one of some size

// Seconds of the fastest of `runs` runs of `work` on every thread.
template <class Work>
double best_seconds(int threads, int runs, Work work) {
  double best = 1e9;
  const ParallelRegion region(threads);
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(
        threads, threads, 1,
        [](void* context, int, int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) (*static_cast<Work*>(context))(i);
        },
        &work);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// The first of a table's entries, best first, whose instruction set is in `isas`; every CPU can run the last.
template <class Entry, size_t N>
const Entry& best_of(uint32_t isas, const Entry (&entries)[N]) {
  return *std::find_if(entries, entries + N - 1, [isas](const Entry& entry) { return isas >> int(entry.isa) & 1; });
}

template <size_t N>
double measure_ops(int threads, uint32_t isas, const Instruction (&instructions)[N]) {
  const Instruction& best = best_of(isas, instructions);
  // Many runs of half a millisecond: on a busy machine some of them are not interrupted.
  const int64_t rounds = 100000 / best.cycles;
  constexpr int kRuns = 100;
  const double seconds = best_seconds(threads, kRuns, [&](int64_t) {
    clear_registers();
    best.loop(rounds);
    clear_registers();
  });
  return double(threads) * double(rounds) * kIndependent * best.ops / seconds;
}

// Bytes a second that all threads read together, each a buffer of its own, `repeats` times over.
double measure_read(int threads, uint32_t isas, int64_t bytes, int repeats) {
  const Reading& best = best_of(isas, kReading);
  const size_t all = std::max(size_t(bytes * threads), kHugePage);
  const auto release = [all](std::byte* data) { unmap_pages(data, all); };
  const std::unique_ptr<std::byte, decltype(release)> buffer(map_pages(all), release);
  std::memset(buffer.get(), 0, all);  // zeros that were never written are one page
  const double seconds = best_seconds(threads, 5, [&](int64_t thread) {
    const std::byte* p = buffer.get() + thread * bytes;
    for (int repeat = 0; repeat < repeats; ++repeat) best.read(p, bytes / 4, bytes / 4 / best.bytes);
    clear_registers();
  });
  return double(bytes) * repeats * threads / seconds;
}

}  // namespace

Peaks measure_peaks(int threads, uint32_t isas) {
  return {measure_ops(threads, isas, kF32), measure_ops(threads, isas, kInt8),
          measure_read(threads, isas, kMemoryBytes, 1), measure_read(threads, isas, kCacheBytes, 64)};
}

}  // namespace rushlight
