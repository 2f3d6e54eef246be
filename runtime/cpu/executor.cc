#include "executor.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "isa.h"
#include "pages.h"
#include "pool.h"
#include "registry.h"

namespace rushlight {
namespace {

constexpr size_t kAlignment = 64;

// Sharing a step with a helper that waits for it costs about a microsecond: a thread's part must be worth more.
constexpr double kWorthSharing_ns = 2000;
// Chunks a thread: enough that a late thread leaves little work behind, few enough that claiming them costs nothing.
constexpr int64_t kChunksPerThread = 8;

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

std::byte* allocate(size_t bytes) {
  if (bytes >= kHugePage) return map_pages(bytes);
  void* const data = std::aligned_alloc(kAlignment, round_up(std::max<size_t>(bytes, 1), kAlignment));
  if (!data) throw std::bad_alloc();
  return static_cast<std::byte*>(data);
}

void release(const ArenaPool::Block& block) {
  if (block.bytes >= kHugePage)
    unmap_pages(block.data, block.bytes);
  else
    std::free(block.data);
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
  for (const Block& block : free_) release(block);
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
      release(free_.back());
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
    release(block);
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
    double cost = 0;
    size_t scratch = 0;
    const auto add = [&](KernelCall& call, int64_t repeats) {
      const auto [family, row] = call.kernel;
      call.tasks = family->tasks(*row, call.params.data());
      cost += family->cost_ns(*row, call.params.data()) * double(repeats);
      scratch = std::max(scratch, round_up(family->scratch_bytes(*row, call.params.data()), kAlignment));
    };
    if (step.call) {
      add(*step.call, 1);
      step.tasks = step.call->tasks;
    }
    step.band_bytes = round_up(step.band_bytes, kAlignment);
    for (BandTasks& band : step.bands) {
      step.tasks += band.repeats * int64_t(band.sequences.size());
      for (CallSequence& sequence : band.sequences)
        for (KernelCall& call : sequence) add(call, band.repeats);
    }
    cost_ns_ += cost;
    step.threads = int(std::clamp<double>(cost / kWorthSharing_ns, 1, threads));
    widest_ = std::max(widest_, step.threads);
    step.chunk = std::max<int64_t>(1, step.tasks / (step.threads * kChunksPerThread));
    scratch_bytes_ = std::max(scratch_bytes_, step.band_bytes + scratch);
  }
}

size_t BoundPlan::members(size_t first, size_t last) const {
  size_t total = 0;
  for (size_t i = first; i < last; ++i) total += size_t(steps_[i].members);
  return total;
}

namespace {

using Clock = std::chrono::steady_clock;

int64_t nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

// Where locations lead in one run.
struct Memory {
  std::byte* arena;
  void* const* inputs;
  void* const* outputs;
  int64_t* fault;

  void* at(const Location& at, int64_t repeat, std::byte* band) const {
    const int64_t offset = at.offset + repeat * at.stride;
    switch (at.space) {
      case Space::none: return nullptr;
      case Space::constant: return static_cast<std::byte*>(const_cast<void*>(at.address)) + repeat * at.stride;
      case Space::arena: return arena + offset;
      case Space::input: return static_cast<std::byte*>(inputs[at.index]) + offset;
      case Space::output: return static_cast<std::byte*>(outputs[at.index]) + offset;
      case Space::fault: return fault;
      case Space::band: return band + offset;
    }
    return nullptr;
  }
  void* operator[](const Location& location) const { return at(location, 0, nullptr); }
};

// One step in one run, and each thread's part of it.
class StepRun {
 public:
  // `nanoseconds`, if not null, gets each member's time.
  StepRun(const Step& step, const Memory& memory, std::byte* scratch, size_t scratch_bytes,
          std::atomic<int64_t>* nanoseconds)
      : step_(step), memory_(memory), scratch_(scratch), scratch_bytes_(scratch_bytes), nanoseconds_(nanoseconds) {
    if (step.call) set_pointers(*step.call, 0, nullptr, pointers_);
  }

  static void run(void* raw, int thread, int64_t begin, int64_t end) {
    const auto& self = *static_cast<const StepRun*>(raw);
    std::byte* const scratch = self.scratch_ + self.scratch_bytes_ * size_t(thread);
    if (const auto& call = self.step_.call) {
      call->kernel.row->run({self.pointers_, call->params.data(), scratch}, begin, end);
    } else {
      for (int64_t task = begin; task < end; ++task) self.run_band_task(task, scratch);
    }
  }

 private:
  void set_pointers(const KernelCall& call, int64_t repeat, std::byte* band, void** pointers) const {
    for (size_t k = 0; k < call.operands.size(); ++k) pointers[k] = memory_.at(call.operands[k], repeat, band);
  }

  // The calling thread takes sequences from the first on, so whenever it waits, all lower ones are taken, and the
  // lowest that is not done waits for none: somebody always goes on.
  void wait_for(int64_t sequence, int64_t calls) const {
    constexpr int kLooks = 10000;
    for (int i = 0; made_[sequence].load(std::memory_order_acquire) < calls; ++i) {
      if (i < kLooks) {
        relax();
      } else {
        std::this_thread::yield();
      }
    }
  }

  void run_band_task(int64_t task, std::byte* scratch) const {
    for (const BandTasks& band : step_.bands) {
      const auto n = int64_t(band.sequences.size());
      if (task >= band.repeats * n) {
        task -= band.repeats * n;
        continue;
      }
      int64_t made = 0;
      for (const KernelCall& call : band.sequences[size_t(task % n)]) {
        if (step_.is_pipeline && task > 0) wait_for(task - 1, made + 1);
        const auto start = nanoseconds_ ? Clock::now() : Clock::time_point{};
        void* pointers[kMaxOperands];
        set_pointers(call, task / n, scratch, pointers);
        call.kernel.row->run({pointers, call.params.data(), scratch + step_.band_bytes}, 0, call.tasks);
        if (nanoseconds_) nanoseconds_[call.member].fetch_add(nanoseconds_since(start), std::memory_order_relaxed);
        ++made;
        if (step_.is_pipeline) made_[task].store(made, std::memory_order_release);
      }
      return;
    }
  }

  const Step& step_;
  const Memory& memory_;
  std::byte* const scratch_;
  const size_t scratch_bytes_;
  std::atomic<int64_t>* const nanoseconds_;
  void* pointers_[kMaxOperands];
  mutable std::atomic<int64_t> made_[kMaxPipeline]{};  // calls of each sequence of a pipeline
};

// What the members of a band took on all threads, as parts of `whole`.
void share_time(int64_t whole, const std::vector<std::atomic<int64_t>>& members, int64_t* nanoseconds) {
  double total = 0;
  for (const auto& member : members) total += double(member);
  for (size_t i = 0; i < members.size(); ++i)
    nanoseconds[i] = total > 0 ? int64_t(double(members[i]) / total * double(whole)) : 0;
}

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
  for (size_t i = first; i < last; ++i) {
    const Step& step = steps_[i];
    std::vector<std::atomic<int64_t>> members(nanoseconds ? size_t(step.members) : 0);
    StepRun run(step, memory, arena + scratch_offset_, scratch_bytes_, nanoseconds ? members.data() : nullptr);
    const auto start = nanoseconds ? Clock::now() : Clock::time_point{};
    parallel_for(step.threads, step.tasks, step.chunk, &StepRun::run, &run);
    if (nanoseconds) {
      const int64_t whole = nanoseconds_since(start);
      if (step.call)
        *nanoseconds = whole;
      else
        share_time(whole, members, nanoseconds);
      nanoseconds += step.members;
    }
    if (fault) return int64_t(i);
  }
  return -1;
}

}  // namespace rushlight
