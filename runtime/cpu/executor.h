// Runs bound plans: steps whose kernels, parameters and memory offsets are fixed.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernel.h"

namespace rushlight {

struct KernelRef {
  const Family* family;
  const Row* row;
};

// The kernel called `symbol`; null pointers where none is compiled in.
KernelRef find_kernel(const std::string& symbol);

enum class Space : uint8_t { none, constant, arena, input, output, fault, band };

// Where an operand lies: a constant's address, an offset into the arena, an offset into the run's index-th array, the
// int64 that a step makes 1 where its inputs ask for what is not there, or an offset into the thread's band memory.
// Every repeat of a band task finds it `stride` bytes further on.
struct Location {
  Space space = Space::none;
  int32_t index = 0;
  int64_t offset = 0, stride = 0;
  const void* address = nullptr;
};

constexpr size_t kMaxOperands = 16;  // of a kernel

// A kernel with its parameters and operands. `member` is the plan's step that it belongs to, counted within its Step.
struct KernelCall {
  KernelRef kernel;
  std::vector<std::byte> params;
  std::vector<Location> operands;
  int64_t member = 0, tasks = 0;
};

using CallSequence = std::vector<KernelCall>;

// Band tasks: each is a sequence of whole calls that one thread makes, with memory of its own for what goes from one
// call to the next. All sequences are run `repeats` times: once an image, or once for some images.
struct BandTasks {
  int64_t repeats;
  std::vector<CallSequence> sequences;
};

constexpr size_t kMaxPipeline = 8;  // sequences

// What threads share at a time: the tasks of one call, or band tasks that take the place of `members` steps. In a
// pipeline, every call of a sequence waits until the sequence before has made as many calls: one BandTasks, once.
struct Step {
  std::optional<KernelCall> call;  // where there are no bands
  std::vector<BandTasks> bands;
  bool is_pipeline = false;
  size_t band_bytes = 0;
  int64_t members = 1;
  int64_t tasks = 0, chunk = 1;
  int threads = 1;
};

// Blocks of memory for runs. A block is kept for later ones; one that is more than 4 times (and 4 MiB) too large for
// 100 runs in a row goes back to the system.
class ArenaPool {
 public:
  struct Block {
    std::byte* data = nullptr;
    size_t bytes = 0;
    int oversized = 0;
  };
  ArenaPool() = default;
  ArenaPool(const ArenaPool&) = delete;
  ArenaPool& operator=(const ArenaPool&) = delete;
  ~ArenaPool();
  Block take(size_t bytes);  // throws std::bad_alloc
  void give(Block block);
  size_t held_bytes();  // in blocks that are not in use

 private:
  void release_oversized(size_t needed);

  std::mutex mutex_;
  std::vector<Block> free_;
};

// A block that goes back to its pool at the end of a scope.
class ArenaLease {
 public:
  ArenaLease(ArenaPool& pool, size_t bytes) : pool_(pool), block_(bytes ? pool.take(bytes) : ArenaPool::Block{}) {}
  ArenaLease(const ArenaLease&) = delete;
  ArenaLease& operator=(const ArenaLease&) = delete;
  ~ArenaLease() {
    if (block_.data) pool_.give(block_);
  }
  std::byte* data() const { return block_.data; }

 private:
  ArenaPool& pool_;
  ArenaPool::Block block_;
};

// An output that no step writes: it is an input, a constant, or another output.
struct OutputCopy {
  int output;
  Location from;
  size_t bytes;
};

class BoundPlan {
 public:
  // `arena_bytes` holds the planned values; scratch memory of the steps is added behind it.
  BoundPlan(std::vector<Step> steps, std::vector<OutputCopy> copies, size_t arena_bytes, int threads);

  size_t arena_bytes() const { return scratch_offset_ + scratch_bytes_ * size_t(threads_); }
  size_t size() const { return steps_.size(); }
  size_t members(size_t first, size_t last) const;  // of steps [first, last)
  double cost_ns() const { return cost_ns_; }       // of all steps on one core, roughly
  // Runs steps [first, last) over `arena`; `nanoseconds`, if given, gets the time of each of their members. Ends at the
  // first step with a fault and returns its index, else -1.
  int64_t run(size_t first, size_t last, std::byte* arena, void* const* inputs, void* const* outputs,
              int64_t* nanoseconds) const;
  void copy_outputs(std::byte* arena, void* const* inputs, void* const* outputs) const;

 private:
  std::vector<Step> steps_;
  std::vector<OutputCopy> copies_;
  double cost_ns_ = 0;
  size_t scratch_offset_, scratch_bytes_ = 0;
  int threads_, widest_ = 1;  // that the caller allows; that any step uses
};

}  // namespace rushlight
