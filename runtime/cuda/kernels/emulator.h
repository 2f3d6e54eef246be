// A grid of CUDA threads on a CPU, for tests: one fiber a thread, blocks one after another. Threads of a block run in
// warp order, rotated by `seed`; a fiber gives way only at barriers and collective instructions, so every schedule is
// reproducible. Asynchronous work of a kind in `eager` happens at issue, else as late as the program allows:
// the first shows buffers that are overwritten too early, the second waits that are missing. Memory order, bank
// conflicts and time are not modelled. x86-64 and System V only.
#pragma once
#include <xmmintrin.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace emulator {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

constexpr int kWarp = 32;
constexpr size_t kStackBytes = 96 << 10;
constexpr int kNamedBarriers = 16;
constexpr unsigned char kPoison = 0xCD;
constexpr size_t kGuard = 64;                   // bytes behind shared memory that have to stay as they are
constexpr unsigned kFlushDenormals = 0x8040;    // the bits FTZ and DAZ of MXCSR
constexpr unsigned kCopies = 1, kProducts = 2;  // kinds of asynchronous work: cp.async and TMA; wgmma

struct Copy {
  void* dst;
  const void* src;
  int bytes, valid;
};

struct Fiber {
  void* sp = nullptr;
  std::unique_ptr<char[]> stack;
  Index thread;
  int linear = 0;
  bool done = false;
  std::function<bool()> ready;    // empty: may run
  std::vector<Copy> uncommitted;  // cp.async since the last commit
  std::deque<std::vector<Copy>> committed;
  std::vector<std::function<void()>> products;  // wgmma since the last commit
  std::deque<std::vector<std::function<void()>>> product_groups;
  const void* address = nullptr;  // operands of the collective instruction that the warp gathers for
  uint32_t operands[6], results[4];
  void* accumulators = nullptr;
};

struct Rendezvous {
  int arrived = 0;
  unsigned generation = 0;
};

struct Block {
  std::vector<Fiber> fibers;
  int current = 0, live = 0;
  Index block, grid, dim;
  std::unique_ptr<unsigned char[]> storage;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
  void* scheduler = nullptr;
  std::function<void()> body;
  Rendezvous barriers[kNamedBarriers];
  std::vector<Rendezvous> warps;
  std::deque<std::function<void()>> transfers;  // TMA that is under way
  unsigned eager = 0;
  bool shuffled = false;  // the seed is not zero
  std::string error;
};

inline thread_local Block* active = nullptr;

extern "C" void rushlight_switch_fiber(void** from, void* to);
asm(R"(
.text
.weak rushlight_switch_fiber
.type rushlight_switch_fiber,@function
rushlight_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

inline Fiber& self() { return active->fibers[active->current]; }

inline void give_way() { rushlight_switch_fiber(&self().sp, active->scheduler); }

// Lets other threads run after a signal to them, in some schedules.
inline void follow_signal() {
  if (active->shuffled) give_way();
}

inline void wait_until(std::function<bool()> ready) {
  if (ready()) return;
  self().ready = std::move(ready);
  give_way();
}

// Ends the launch with a message; the calling fiber never runs again.
[[noreturn]] inline void fail(const std::string& message) {
  Fiber& fiber = self();
  if (active->error.empty()) {
    active->error =
        message + " (thread " + std::to_string(fiber.linear) + " of block " + std::to_string(active->block.x) + ")";
  }
  for (;;) give_way();
}

inline void require(bool condition, const char* message) {
  if (!condition) fail(message);
}

inline void check_shared(const void* address, size_t bytes, size_t alignment) {
  const auto* p = static_cast<const unsigned char*>(address);
  require(p >= active->shared && p + bytes <= active->shared + active->shared_bytes, "outside of shared memory");
  require(reinterpret_cast<uintptr_t>(p) % alignment == 0, "misaligned shared memory");
}

inline void arrive_and_wait(Rendezvous& point, int count) {
  const unsigned generation = point.generation;
  if (++point.arrived == count) {
    point.arrived = 0;
    ++point.generation;
    return;
  }
  wait_until([&point, generation] { return point.generation != generation; });
}

// The warp's last thread runs `operation` over its 32 fibers.
template <class Operation>
void run_collective(Operation operation) {
  const int warp = self().linear / kWarp;
  Rendezvous& point = active->warps[warp];
  if (point.arrived == kWarp - 1) operation(&active->fibers[warp * kWarp]);
  arrive_and_wait(point, kWarp);
}

inline void enter_fiber() {
  active->body();
  Fiber& fiber = self();
  if (!fiber.uncommitted.empty() || !fiber.committed.empty()) fail("a thread ends with copies under way");
  fiber.done = true;
  --active->live;
  for (;;) give_way();
}

inline void start_fiber(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(fiber.stack.get(), kStackBytes);  // a block's fibers end without leaving their frames
#endif
  auto top = reinterpret_cast<uintptr_t>(fiber.stack.get() + kStackBytes) & ~uintptr_t{15};
  void** sp = reinterpret_cast<void**>(top);
  *--sp = nullptr;
  *--sp = reinterpret_cast<void*>(enter_fiber);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  fiber.sp = sp;
  fiber.done = false;
  fiber.ready = nullptr;
  fiber.uncommitted.clear();
  fiber.committed.clear();
}

inline void run_block(Block& block, unsigned& state) {
  const int threads = static_cast<int>(block.fibers.size()), warps = (threads + kWarp - 1) / kWarp;
  block.live = threads;
  block.warps.assign(warps, {});
  for (Rendezvous& barrier : block.barriers) barrier = {};
  block.transfers.clear();
  memset(block.shared, kPoison, block.shared_bytes);
  for (int i = 0; i < threads; ++i) {
    Fiber& fiber = block.fibers[i];
    fiber.linear = i;
    fiber.thread = {i % block.dim.x, i / block.dim.x % block.dim.y, i / block.dim.x / block.dim.y};
    start_fiber(fiber);
  }
  while (block.live > 0 && block.error.empty()) {
    bool progressed = false;
    unsigned first = 0;
    if (state != 0) {
      state = state * 1664525u + 1013904223u;
      first = (state >> 16) % warps;
    }
    for (int n = 0; n < threads && block.error.empty(); ++n) {
      const int i = static_cast<int>((n + first * kWarp) % threads);
      Fiber& fiber = block.fibers[i];
      if (fiber.done || (fiber.ready && !fiber.ready())) continue;
      fiber.ready = nullptr;
      progressed = true;
      block.current = i;
      rushlight_switch_fiber(&block.scheduler, fiber.sp);
    }
    if (progressed) continue;
    if (block.transfers.empty()) {
      block.error = "deadlock: every thread waits";
    } else {
      block.transfers.front()();
      block.transfers.pop_front();
    }
  }
}

// Runs `body` for every thread of the grid; the message of the first fault, empty where there was none.
inline std::string launch(Index grid, Index dim, size_t shared_bytes, unsigned seed, unsigned eager,
                          std::function<void()> body) {
  Block block;
  block.fibers.resize(dim.x * dim.y * dim.z);
  block.dim = dim;
  block.grid = grid;
  block.storage = std::make_unique<unsigned char[]>(shared_bytes + 1024 + kGuard);
  block.shared =
      reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(block.storage.get()) + 1023) & ~uintptr_t{1023});
  block.shared_bytes = shared_bytes;
  memset(block.shared + shared_bytes, kPoison, kGuard);
  block.body = std::move(body);
  block.eager = eager;
  block.shuffled = seed != 0;
  active = &block;
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | kFlushDenormals);
  unsigned state = seed;
  for (unsigned z = 0; z < grid.z && block.error.empty(); ++z) {
    for (unsigned y = 0; y < grid.y && block.error.empty(); ++y) {
      for (unsigned x = 0; x < grid.x && block.error.empty(); ++x) {
        block.block = {block.shuffled ? grid.x - 1 - x : x, y, z};
        run_block(block, state);
        const unsigned char* behind = block.shared + shared_bytes;
        if (block.error.empty() && std::any_of(behind, behind + kGuard, [](int byte) { return byte != kPoison; })) {
          block.error = "written behind shared memory by block " + std::to_string(block.block.x);
        }
      }
    }
  }
  _mm_setcsr(mode);
  active = nullptr;
  return block.error;
}

}  // namespace emulator
