#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>

#include "isa.h"

namespace rushlight {
namespace {

using Clock = std::chrono::steady_clock;

// How long a helper without work spins before it parks: while a run is in progress, whose next step may need it at any
// moment, and between runs. Waking a parked one takes tens of microseconds; an idle process must show no CPU time.
constexpr auto kSpinInRun = std::chrono::microseconds(500), kSpinBetweenRuns = std::chrono::microseconds(60);
constexpr int kPausesPerLook = 8;

// The tasks of a job lie in one part for each thread that may come, so that from one job to the next a thread meets the
// same rows, which its cache holds. Who is done with its own part takes from the others'.
class Job {
 public:
  static constexpr int kMaxParts = 64;

  Job(TaskFn body, void* context, int64_t n, int64_t chunk, int parts)
      : body_(body), context_(context), n_(n), chunk_(chunk), parts_(std::min(parts, kMaxParts)) {
    for (int part = 0; part < parts_; ++part) next_[part].value.store(end(part - 1), std::memory_order_relaxed);
  }

  int max_helpers() const { return parts_ - 1; }

  void work(int thread) {
    for (int i = 0; i < parts_; ++i) {
      const int part = thread + i < parts_ ? thread + i : thread + i - parts_;
      std::atomic<int64_t>& next = next_[part].value;
      for (const int64_t last = end(part); next.load(std::memory_order_relaxed) < last;) {
        const int64_t begin = next.fetch_add(chunk_, std::memory_order_relaxed);
        if (begin < last) body_(context_, thread, begin, std::min(begin + chunk_, last));
      }
    }
  }

  // The number of a helper that wants to work, 0 if there is nothing for it.
  int join() {
    if (next_[parts_ - 1].value.load(std::memory_order_relaxed) >= n_) return 0;
    const int thread = joined_.fetch_add(1, std::memory_order_relaxed) + 1;
    return thread < parts_ ? thread : 0;
  }

 private:
  int64_t end(int part) const { return n_ * (part + 1) / parts_; }

  struct alignas(64) Next {
    std::atomic<int64_t> value;
  };

  const TaskFn body_;
  void* const context_;
  const int64_t n_, chunk_;
  const int parts_;
  std::atomic<int> joined_{0};
  Next next_[kMaxParts];
};

class Pool {
 public:
  void run(int threads, int64_t n, int64_t chunk, TaskFn body, void* context) {
    const int index = is_crowded() ? -1 : take_slot();
    if (index < 0) return body(context, 0, 0, n);
    Job job(body, context, n, chunk, int(std::min<int64_t>(threads, (n + chunk - 1) / chunk)));
    Slot& slot = slots_[index];
    const uint64_t bit = uint64_t(1) << index;
    slot.job.store(&job, std::memory_order_release);
    open_.fetch_or(bit, std::memory_order_seq_cst);
    if (parked_.load(std::memory_order_seq_cst) > 0) wake(job.max_helpers());
    job.work(0);
    // A helper counts itself as a visitor before it reads `job`: who came later than this store finds nothing.
    open_.fetch_and(~bit, std::memory_order_relaxed);
    slot.job.store(nullptr, std::memory_order_seq_cst);
    const auto deadline = Clock::now() + kSpinInRun;
    for (int visitors; (visitors = slot.visitors.load(std::memory_order_seq_cst)) > 0;) {
      if (Clock::now() > deadline) {
        slot.visitors.wait(visitors);
      } else {
        relax();
      }
    }
    owned_.fetch_and(~bit, std::memory_order_release);
  }

  void enter(int threads) {
    const int callers = callers_.fetch_add(1, std::memory_order_relaxed) + 1;
    if (threads <= 1) return;
    if (helpers_.load(std::memory_order_relaxed) < threads - 1) add_helpers(threads - 1);
    if (callers < threads && parked_.load(std::memory_order_seq_cst) > 0) wake(threads - 1);
  }

  void leave() { callers_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  static constexpr int kSlots = 64;

  struct alignas(128) Slot {
    std::atomic<Job*> job{nullptr};
    std::atomic<int> visitors{0};
  };

  // Callers that run already keep as many CPUs busy as one caller with helpers would: more threads would only take
  // turns.
  bool is_crowded() const {
    return callers_.load(std::memory_order_relaxed) > helpers_.load(std::memory_order_relaxed);
  }

  // Where the system gives no more threads, the job is done by those that there are.
  void add_helpers(int wanted) {
    std::lock_guard lock(mutex_);
    while (helpers_.load(std::memory_order_relaxed) < wanted) {
      try {
        std::thread([this] { serve(); }).detach();
      } catch (const std::system_error&) {
        return;
      }
      helpers_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  // A slot that no other caller uses, -1 if all are in use.
  int take_slot() {
    uint64_t owned = owned_.load(std::memory_order_relaxed);
    while (~owned) {
      const int index = std::countr_one(owned);
      if (owned_.compare_exchange_weak(owned, owned | uint64_t(1) << index, std::memory_order_acquire)) return index;
    }
    return -1;
  }

  void wake(int helpers) {
    {
      std::lock_guard lock(mutex_);
      ++wakes_;
    }
    if (helpers > 1) {
      wake_.notify_all();
    } else {
      wake_.notify_one();
    }
  }

  // Works on one open job. False if there is none, or no CPU for it.
  bool help() {
    uint64_t open = open_.load(std::memory_order_seq_cst);
    if (!open) return false;
    const int busy = busy_.fetch_add(1, std::memory_order_relaxed) + 1;
    const bool has_cpu =
        busy + callers_.load(std::memory_order_relaxed) <= helpers_.load(std::memory_order_relaxed) + 1;
    const bool has_worked = has_cpu && help_one_of(open);
    busy_.fetch_sub(1, std::memory_order_relaxed);
    return has_worked;
  }

  bool help_one_of(uint64_t open) {
    for (; open; open &= open - 1) {
      Slot& slot = slots_[std::countr_zero(open)];
      slot.visitors.fetch_add(1, std::memory_order_seq_cst);
      bool has_worked = false;
      if (Job* const job = slot.job.load(std::memory_order_seq_cst)) {
        const int thread = job->join();
        has_worked = thread > 0;
        if (has_worked) job->work(thread);
      }
      slot.visitors.fetch_sub(1, std::memory_order_seq_cst);
      slot.visitors.notify_all();
      if (has_worked) return true;
    }
    return false;
  }

  void serve() {
    FlushDenormals flush;
    auto worked = Clock::now();
    for (;;) {
      if (help()) {
        worked = Clock::now();
        continue;
      }
      for (int i = 0; i < kPausesPerLook; ++i) relax();
      const int callers = callers_.load(std::memory_order_relaxed);
      const bool may_help = callers > 0 && !is_crowded();
      if (Clock::now() - worked > (may_help ? kSpinInRun : kSpinBetweenRuns)) {
        park();
        worked = Clock::now();
      }
    }
  }

  void park() {
    std::unique_lock lock(mutex_);
    const uint64_t seen = wakes_;
    parked_.fetch_add(1, std::memory_order_seq_cst);
    if (is_crowded() || open_.load(std::memory_order_seq_cst) == 0) wake_.wait(lock, [&] { return wakes_ != seen; });
    parked_.fetch_sub(1, std::memory_order_seq_cst);
  }

  std::atomic<uint64_t> open_{0};   // slots with a job that takes helpers
  std::atomic<uint64_t> owned_{0};  // slots in use
  Slot slots_[kSlots];
  alignas(128) std::atomic<int> callers_{0}, helpers_{0}, busy_{0}, parked_{0};
  std::mutex mutex_;  // guards wakes_ and the making of helpers
  std::condition_variable wake_;
  uint64_t wakes_ = 0;
};

// A forked child has none of its parent's threads: it starts with a new pool. The old one is left alone, since its
// mutex may be held by a thread that does not exist any more.
Pool*& pool_slot() {
  static Pool* pool = [] {
    pthread_atfork(nullptr, nullptr, [] { pool_slot() = new Pool; });
    return new Pool;
  }();
  return pool;
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// cgroup v2: "max 100000" or "150000 100000" in cpu.max of the process's group and of all groups above it.
int cgroup_cpus() {
  int limit = 1 << 16;
  const auto apply = [&](double quota, double period) {
    if (quota > 0 && period > 0) limit = std::min(limit, std::max(1, int((quota + period - 1) / period)));
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.rfind("0::", 0) != 0) continue;
    for (std::string group = line.substr(3);; group.resize(group.rfind('/'))) {
      std::istringstream text(read_line("/sys/fs/cgroup" + (group == "/" ? "" : group) + "/cpu.max"));
      std::string quota;
      double period = 0;
      if (text >> quota >> period && quota != "max") apply(std::stod(quota), period);
      if (group.empty() || group == "/" || group.rfind('/') == std::string::npos) break;
    }
  }
  const std::string v1 = "/sys/fs/cgroup/cpu/cpu.cfs_";
  const std::string quota = read_line(v1 + "quota_us"), period = read_line(v1 + "period_us");
  if (!quota.empty() && !period.empty()) apply(std::stod(quota), std::stod(period));
  return limit;
}

}  // namespace

void parallel_for(int threads, int64_t n, int64_t chunk, TaskFn body, void* context) {
  if (n <= 0) return;
  if (threads <= 1 || n <= chunk) {
    body(context, 0, 0, n);
    return;
  }
  pool_slot()->run(threads, n, chunk, body, context);
}

ParallelRegion::ParallelRegion(int threads) { pool_slot()->enter(threads); }

ParallelRegion::~ParallelRegion() { pool_slot()->leave(); }

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int affinity =
      sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : int(std::thread::hardware_concurrency());
  return std::max(1, std::min(affinity, cgroup_cpus()));
}

}  // namespace rushlight
