#include "peak.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>

#include "amx.h"
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
void clear_registers() {
  asm volatile("vzeroall"
               :
               :
               : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                 "xmm12", "xmm13", "xmm14", "xmm15");
}

struct Instruction {
  Isa isa;
  Loop loop;
  int ops;         // of one of its kIndependent parts
  int cycles = 1;  // that it takes, about
};
constexpr Instruction kF32[] = {
    {Isa::avx512, fma_zmm, 32}, {Isa::avx2, fma_ymm, 16}, {Isa::generic, multiply_add_xmm, 8}};
constexpr Instruction kInt8[] = {{Isa::amxint8, multiply_tiles, 2 * 16 * 16 * 64, 16},
                                 {Isa::avx512vnni, dot_zmm, 128},
                                 {Isa::avxvnni, dot_ymm, 64},
                                 {Isa::avx512, madd_zmm, 64},
                                 {Isa::avx2, madd_ymm, 32},
                                 {Isa::generic, madd_xmm, 16}};

// Reads four quarters of a buffer side by side, `rounds` times two registers of each: one stream alone waits at every
// page.
using Read = void (*)(const std::byte* p, int64_t quarter, int64_t rounds);
constexpr int kReadRegisters = 2;

#define RL_READ(name, load, bytes)                                                                          \
  void name(const std::byte* p, int64_t quarter, int64_t rounds) {                                          \
    asm volatile("1:\n" load(0, "(%0)") load(1, #bytes "(%0)") load(2, "(%0,%2)") load(3, #bytes "(%0,%2)") \
                     load(4, "(%0,%2,2)") load(5, #bytes "(%0,%2,2)") load(6, "(%0,%3)")                    \
                         load(7, #bytes "(%0,%3)") "add %4, %0\ndec %1\njnz 1b"                             \
                 : "+r"(p), "+r"(rounds)                                                                    \
                 : "r"(quarter), "r"(3 * quarter), "i"(kReadRegisters * bytes)                              \
                 : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");         \
  }

#define RL_ZMM(i, address) "vmovups " address ", %%zmm" #i "\n"
#define RL_YMM(i, address) "vmovups " address ", %%ymm" #i "\n"
#define RL_XMM(i, address) "movups " address ", %%xmm" #i "\n"
RL_READ(read_zmm, RL_ZMM, 64)
RL_READ(read_ymm, RL_YMM, 32)
RL_READ(read_xmm, RL_XMM, 16)

struct Reading {
  Isa isa;
  Read read;
  int64_t bytes;  // of each quarter in a round
};
constexpr Reading kReading[] = {{Isa::avx512, read_zmm, kReadRegisters * 64},
                                {Isa::avx2, read_ymm, kReadRegisters * 32},
                                {Isa::generic, read_xmm, kReadRegisters * 16}};

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
  const int64_t rounds = 100000 / best.cycles;
  constexpr int kRuns = 100;
  const double seconds = best_seconds(threads, kRuns, [&](int64_t) {
    if (is_available(Isa::avx2)) clear_registers();
    best.loop(rounds);
    if (is_available(Isa::avx2)) clear_registers();
  });
  return double(threads) * double(rounds) * kIndependent * best.ops / seconds;
}

// Bytes a second that all threads read together, each a buffer of its own, `repeats` times over.
double measure_read(int threads, int64_t bytes, int repeats) {
  const Reading& best =
      *std::find_if(std::begin(kReading), std::end(kReading), [](auto& r) { return is_available(r.isa); });
  constexpr size_t kHugePage = 2 << 20;
  const size_t all = (size_t(bytes * threads) + kHugePage - 1) / kHugePage * kHugePage;
  const std::unique_ptr<std::byte, decltype(&std::free)> buffer(
      static_cast<std::byte*>(std::aligned_alloc(kHugePage, all)), std::free);
  if (!buffer) throw std::bad_alloc();
  madvise(buffer.get(), all, MADV_HUGEPAGE);  // where the system has none, small pages do
  std::memset(buffer.get(), 0, all);
  const double seconds = best_seconds(threads, 5, [&](int64_t thread) {
    const std::byte* p = buffer.get() + thread * bytes;
    for (int repeat = 0; repeat < repeats; ++repeat) best.read(p, bytes / 4, bytes / 4 / best.bytes);
    if (is_available(Isa::avx2)) clear_registers();
  });
  return double(bytes) * repeats * threads / seconds;
}

}  // namespace

Peaks measure_peaks(int threads) {
  return {measure_ops(threads, kF32), measure_ops(threads, kInt8), measure_read(threads, kMemoryBytes, 1),
          measure_read(threads, kCacheBytes, 64)};
}

}  // namespace rushlight
