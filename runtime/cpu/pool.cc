#include "pool.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "isa.h"

namespace rushlight {
namespace {

// How long an idle helper spins before it parks: longer than the gap between two steps of a run, short enough that an
// idle process shows no CPU time.
constexpr auto kSpin = std::chrono::microseconds(40);

struct Job {
  TaskFn body;
  void* context;
  int64_t n, chunk;
  int max_helpers;
  int joined = 0;  // helpers that ever joined: gives each its thread number; guarded by the pool's mutex
  std::atomic<int64_t> next{0};
  std::atomic<int> active{0};
};

void work_on(Job& job, int thread) {
  for (;;) {
    const int64_t begin = job.next.fetch_add(job.chunk, std::memory_order_relaxed);
    if (begin >= job.n) return;
    job.body(job.context, thread, begin, std::min(begin + job.chunk, job.n));
  }
}

class Pool {
 public:
  void run(int threads, int64_t n, int64_t chunk, TaskFn body, void* context) {
    Job job{body, context, n, chunk, int(std::min<int64_t>(threads - 1, (n + chunk - 1) / chunk - 1))};
    {
      std::lock_guard lock(mutex_);
      while (int(helpers_) < job.max_helpers && add_helper()) {
      }
      open_.push_back(&job);
      wanted_.fetch_add(1, std::memory_order_release);
    }
    if (parked_.load(std::memory_order_seq_cst) > 0) {
      if (job.max_helpers > 1) {
        wake_.notify_all();
      } else {
        wake_.notify_one();
      }
    }
    work_on(job, 0);
    {
      std::lock_guard lock(mutex_);
      close(job);
    }
    const auto deadline = std::chrono::steady_clock::now() + kSpin;
    while (job.active.load(std::memory_order_acquire) > 0) {
      if (std::chrono::steady_clock::now() > deadline) {
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return job.active.load(std::memory_order_acquire) == 0; });
        return;
      }
      _mm_pause();
    }
    // A helper decrements `active` under the mutex and touches the job no more; taking it orders the job's end of life.
    std::lock_guard lock(mutex_);
  }

 private:
  // The caller holds the mutex. False where the system gives no thread: the job is done by those that there are.
  bool add_helper() {
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      return false;
    }
    ++helpers_;
    return true;
  }

  void close(Job& job) {
    const auto at = std::find(open_.begin(), open_.end(), &job);
    if (at == open_.end()) return;
    open_.erase(at);
    wanted_.fetch_sub(1, std::memory_order_release);
  }

  // The caller holds the mutex.
  Job* join(int& thread) {
    for (Job* job : open_) {
      if (job->next.load(std::memory_order_relaxed) >= job->n) continue;
      thread = ++job->joined;
      job->active.fetch_add(1, std::memory_order_acq_rel);
      if (job->joined == job->max_helpers) close(*job);
      return job;
    }
    return nullptr;
  }

  void serve() {
    FlushDenormals flush;
    for (;;) {
      const auto deadline = std::chrono::steady_clock::now() + kSpin;
      while (wanted_.load(std::memory_order_acquire) == 0 && std::chrono::steady_clock::now() < deadline) _mm_pause();
      std::unique_lock lock(mutex_);
      int thread = 0;
      Job* job = join(thread);
      if (!job) {
        if (wanted_.load(std::memory_order_relaxed) > 0) {  // jobs whose tasks are all taken: about to be closed
          lock.unlock();
          std::this_thread::yield();
          continue;
        }
        parked_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [&] { return wanted_.load(std::memory_order_relaxed) > 0; });
        parked_.fetch_sub(1, std::memory_order_seq_cst);
        continue;
      }
      lock.unlock();
      work_on(*job, thread);
      lock.lock();
      const bool last = job->active.fetch_sub(1, std::memory_order_acq_rel) == 1;
      lock.unlock();
      if (last) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<Job*> open_;
  std::atomic<int> wanted_{0}, parked_{0};
  size_t helpers_ = 0;
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

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int affinity =
      sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : int(std::thread::hardware_concurrency());
  return std::max(1, std::min(affinity, cgroup_cpus()));
}

}  // namespace rushlight
