#include "executor.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <unordered_map>

#include "isa.h"
#include "pool.h"
#include "registry.h"

namespace rushlight {
namespace {

constexpr size_t kAlignment = 64, kHugePage = size_t(2) << 20;

// Sharing a step with a helper that waits for it costs about a microsecond: a thread's part must be worth more.
constexpr double kWorthSharing_ns = 2000;
// Chunks a thread: enough that a late thread leaves little work behind, few enough that claiming them costs nothing.
constexpr int64_t kChunksPerThread = 8;

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

std::byte* allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  void* data = std::aligned_alloc(alignment, round_up(std::max<size_t>(bytes, 1), alignment));
  if (!data) throw std::bad_alloc();
  if (alignment == kHugePage) madvise(data, round_up(bytes, alignment), MADV_HUGEPAGE);
  return static_cast<std::byte*>(data);
}

}  // namespace

KernelRef find_kernel(const std::string& symbol) {
  static const auto* all = [] {
    auto* map = new std::unordered_map<std::string_view, KernelRef>;
    for (const Family* family : families())
      for (size_t i = 0; i < family->n_rows; ++i) (*map)[family->rows[i].symbol] = {family, &family->rows[i]};
    return map;
  }();
  const auto at = all->find(symbol);
  return at == all->end() ? KernelRef{nullptr, nullptr} : at->second;
}

ArenaPool::~ArenaPool() {
  for (Block& block : free_) std::free(block.data);
}

ArenaPool::Block ArenaPool::take(size_t bytes) {
  {
    std::lock_guard lock(mutex_);
    release_oversized(bytes);
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it)
      if (it->bytes >= bytes && (best == free_.end() || it->bytes < best->bytes)) best = it;
    if (best != free_.end()) {
      Block block = *best;
      free_.erase(best);
      return block;
    }
    if (!free_.empty()) {  // too small for what is asked now: make room before asking for more
      std::free(free_.back().data);
      free_.pop_back();
    }
  }
  return {allocate(bytes), bytes, 0};
}

void ArenaPool::give(Block block) {
  std::lock_guard lock(mutex_);
  free_.push_back(block);
}

// Counts, for every block that waits, the runs in a row that it was too large for by far, chosen or not. The caller
// holds the mutex.
void ArenaPool::release_oversized(size_t needed) {
  constexpr size_t slack = size_t(4) << 20;
  constexpr int patience = 100;
  std::erase_if(free_, [&](Block& block) {
    block.oversized = block.bytes / 4 > needed + slack ? block.oversized + 1 : 0;
    if (block.oversized <= patience) return false;
    std::free(block.data);
    return true;
  });
}

size_t ArenaPool::held_bytes() {
  std::lock_guard lock(mutex_);
  size_t total = 0;
  for (const Block& block : free_) total += block.bytes;
  return total;
}

BoundPlan::BoundPlan(std::vector<Step> steps, std::vector<OutputCopy> copies, size_t arena_bytes, int threads)
    : steps_(std::move(steps)),
      copies_(std::move(copies)),
      scratch_offset_(round_up(arena_bytes, kAlignment)),
      threads_(threads) {
  for (Step& step : steps_) {
    const auto [family, row] = step.kernel;
    step.tasks = family->tasks(*row, step.params.data());
    const double cost = family->cost_ns(*row, step.params.data());
    cost_ns_ += cost;
    step.threads = int(std::clamp<double>(cost / kWorthSharing_ns, 1, threads));
    widest_ = std::max(widest_, step.threads);
    step.chunk = std::max<int64_t>(1, step.tasks / (step.threads * kChunksPerThread));
    scratch_bytes_ = std::max(scratch_bytes_, round_up(family->scratch_bytes(*row, step.params.data()), kAlignment));
  }
}

namespace {

// Where locations lead in one run.
struct Memory {
  std::byte* arena;
  void* const* inputs;
  void* const* outputs;
  int64_t* fault;

  void* operator[](const Location& at) const {
    switch (at.space) {
      case Space::none: return nullptr;
      case Space::constant: return const_cast<void*>(at.address);
      case Space::arena: return arena + at.offset;
      case Space::input: return static_cast<std::byte*>(inputs[at.index]) + at.offset;
      case Space::output: return static_cast<std::byte*>(outputs[at.index]) + at.offset;
      case Space::fault: return fault;
    }
    return nullptr;
  }
};

}  // namespace

void BoundPlan::copy_outputs(std::byte* arena, void* const* inputs, void* const* outputs) const {
  const Memory memory{arena, inputs, outputs, nullptr};
  for (const OutputCopy& copy : copies_)
    if (copy.bytes) std::memcpy(outputs[copy.output], memory[copy.from], copy.bytes);
}

int64_t BoundPlan::run(size_t first, size_t last, std::byte* arena, void* const* inputs, void* const* outputs,
                       int64_t* nanoseconds) const {
  FlushDenormals flush;
  const ParallelRegion region(widest_);
  int64_t fault = 0;
  const Memory memory{arena, inputs, outputs, &fault};
  std::vector<void*> pointers;
  for (size_t i = first; i < last; ++i) {
    const Step& step = steps_[i];
    pointers.resize(step.operands.size());
    for (size_t k = 0; k < pointers.size(); ++k) pointers[k] = memory[step.operands[k]];
    struct Context {
      const Step* step;
      void* const* operands;
      std::byte* scratch;
      size_t scratch_bytes;
    } context{&step, pointers.data(), arena + scratch_offset_, scratch_bytes_};
    const auto start = nanoseconds ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};
    parallel_for(
        step.threads, step.tasks, step.chunk,
        [](void* raw, int thread, int64_t begin, int64_t end) {
          const auto& c = *static_cast<const Context*>(raw);
          const Call call{c.operands, c.step->params.data(), c.scratch + c.scratch_bytes * size_t(thread)};
          c.step->kernel.row->run(call, begin, end);
        },
        &context);
    if (nanoseconds)
      nanoseconds[i - first] =
          std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
    if (fault) return int64_t(i);
  }
  return -1;
}

}  // namespace rushlight
