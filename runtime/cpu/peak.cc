#include "peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "isa.h"
#include "pool.h"

namespace rushlight {

namespace {

// Twelve independent instructions a round: more than latency times ports on any x86 CPU. In assembly, since the file is
// compiled for the oldest CPU; \i is the number of a register.
using Loop = void (*)(int64_t rounds);
constexpr int kIndependent = 12;

constexpr int64_t kMemoryBytes = 128 << 20;  // more than the second-level cache of any CPU
constexpr int64_t kCacheBytes = 256 << 10;   // fits the second-level cache of any AVX2 CPU

#define RL_LOOP(name, instructions)                                                                               \
  void name(int64_t rounds) {                                                                                     \
    asm volatile("1:\n.irp i,0,1,2,3,4,5,6,7,8,9,10,11\n" instructions "\n.endr\ndec %0\njnz 1b"                  \
                 : "+r"(rounds)                                                                                   \
                 :                                                                                                \
                 : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
                   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                                                  \
  }

RL_LOOP(fma_zmm, "vfmadd231ps %%zmm14, %%zmm15, %%zmm\\i")
RL_LOOP(fma_ymm, "vfmadd231ps %%ymm14, %%ymm15, %%ymm\\i")
RL_LOOP(multiply_add_xmm, "mulps %%xmm15, %%xmm\\i\naddps %%xmm15, %%xmm\\i")
RL_LOOP(dot_zmm, "vpdpbusd %%zmm14, %%zmm15, %%zmm\\i")
RL_LOOP(dot_ymm, "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\i")
RL_LOOP(madd_zmm, "vpmaddwd %%zmm14, %%zmm15, %%zmm13\nvpaddd %%zmm13, %%zmm\\i, %%zmm\\i")
RL_LOOP(madd_ymm, "vpmaddwd %%ymm14, %%ymm15, %%ymm13\nvpaddd %%ymm13, %%ymm\\i, %%ymm\\i")
RL_LOOP(madd_xmm, "pmaddwd %%xmm15, %%xmm\\i\npaddd %%xmm15, %%xmm\\i")
void clear_registers() { asm volatile("vzeroall" : : : "xmm0", "xmm1", "xmm14", "xmm15"); }

struct Instruction {
  Isa isa;
  Loop loop;
  int ops;  // of one of its kIndependent parts
};
constexpr Instruction kF32[] = {
    {Isa::avx512, fma_zmm, 32}, {Isa::avx2, fma_ymm, 16}, {Isa::generic, multiply_add_xmm, 8}};
constexpr Instruction kInt8[] = {{Isa::avx512vnni, dot_zmm, 128},
                                 {Isa::avxvnni, dot_ymm, 64},
                                 {Isa::avx512, madd_zmm, 64},
                                 {Isa::avx2, madd_ymm, 32},
                                 {Isa::generic, madd_xmm, 16}};

bool is_available(Isa isa) { return available_isas() >> int(isa) & 1; }

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

template <size_t N>
double measure_ops(int threads, const Instruction (&instructions)[N]) {
  const Instruction& best = *std::find_if(instructions, instructions + N, [](auto& i) { return is_available(i.isa); });
  // Many runs of half a millisecond: on a busy machine some of them are not interrupted.
  constexpr int64_t kRounds = 100000;
  constexpr int kRuns = 100;
  const double seconds = best_seconds(threads, kRuns, [&](int64_t) {
    if (is_available(Isa::avx2)) clear_registers();
    best.loop(kRounds);
    if (is_available(Isa::avx2)) clear_registers();
  });
  return double(threads) * double(kRounds) * kIndependent * best.ops / seconds;
}

// Bytes a second that all threads read together, each a buffer of its own, `repeats` times over.
double measure_read(int threads, int64_t bytes, int repeats) {
  const int64_t words = bytes / 8;
  const auto buffer = std::make_unique<uint64_t[]>(size_t(words * threads));
  std::atomic<uint64_t> sink{0};
  const double seconds = best_seconds(threads, 5, [&](int64_t thread) {
    const uint64_t* p = buffer.get() + thread * words;
    uint64_t sum[16] = {};
    for (int repeat = 0; repeat < repeats; ++repeat) {
      for (int64_t i = 0; i < words; i += 16) {
        for (int j = 0; j < 16; ++j) sum[j] += p[i + j];
      }
    }
    for (uint64_t s : sum) sink += s;
  });
  return double(bytes) * repeats * threads / seconds;
}

}  // namespace

Peaks measure_peaks(int threads) {
  return {measure_ops(threads, kF32), measure_ops(threads, kInt8), measure_read(threads, kMemoryBytes, 1),
          measure_read(threads, kCacheBytes, 64)};
}

}  // namespace rushlight
