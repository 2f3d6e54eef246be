// Makes every recorded kernel call (record.py) with every row of this architecture that has its op and types, and
// compares what is written bit by bit: replay FILE. Prints the instruction sets of this CPU, then each row with the
// number of its calls; what differs goes to standard error, and the exit status is 1.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "isa.h"
#include "pool.h"
#include "registry.h"

namespace rushlight {
namespace {

using Bytes = std::string_view;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(2);
}

// Memory whose last byte lies before a page that nobody may touch, with a pattern before it.
class Fenced {
 public:
  static constexpr size_t kPage = 64 << 10, kFence = 64;  // no system has larger pages

  // n bytes; their start is a multiple of `alignment`.
  std::byte* take(size_t n, size_t alignment) {
    if (n + kFence + alignment > size_) {
      size_ = (n + kFence + alignment + kPage) / kPage * kPage * 2;
      void* const memory =
          mmap(nullptr, size_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (memory == MAP_FAILED) fail("mmap");
      end_ = static_cast<std::byte*>(memory) + size_;
      if (mprotect(end_, kPage, PROT_NONE)) fail("mprotect");
    }
    begin_ = end_ - (n + alignment - 1) / alignment * alignment;
    std::memset(begin_ - kFence, kPattern, kFence);
    return begin_;
  }

  bool is_whole() const {
    for (size_t i = 1; i <= kFence; ++i)
      if (begin_[-ptrdiff_t(i)] != std::byte(kPattern)) return false;
    return true;
  }

 private:
  static constexpr int kPattern = 0xA5;
  std::byte *begin_ = nullptr, *end_ = nullptr;
  size_t size_ = 0;
};

// As record.py writes them.
enum Kind : int64_t { kAbsent, kRead, kPacked, kWritten };

struct RecordedOperand {
  Kind kind;
  Bytes params;  // to pack with
  Bytes before, after;
};

struct Record {
  Bytes family, op, types, params;
  std::vector<RecordedOperand> operands;
};

class Reader {
 public:
  explicit Reader(Bytes rest) : rest_(rest) {}
  bool is_at_end() const { return rest_.empty(); }
  Bytes take(size_t n) {
    const Bytes bytes = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return bytes;
  }
  int64_t number() {
    int64_t value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  Bytes bytes() { return take(size_t(number())); }

 private:
  Bytes rest_;
};

Record read_record(Bytes body) {
  Reader reader(body);
  Record record{reader.bytes(), reader.bytes(), reader.bytes(), reader.bytes(), {}};
  while (!reader.is_at_end()) {
    RecordedOperand operand{Kind(reader.number()), {}, {}, {}};
    if (operand.kind == kPacked) operand.params = reader.bytes();
    if (operand.kind != kAbsent) operand.before = reader.bytes();
    if (operand.kind == kWritten) operand.after = reader.take(operand.before.size());
    record.operands.push_back(operand);
  }
  return record;
}

// The first byte that differs, -1 if none does. All NaNs are alike.
int64_t find_difference(const std::byte* got, Bytes expected, bool is_f32) {
  const size_t unit = is_f32 ? 4 : 1;
  for (size_t i = 0; i < expected.size(); i += unit) {
    if (!std::memcmp(got + i, expected.data() + i, unit)) continue;
    float a, b;
    if (is_f32) {
      std::memcpy(&a, got + i, sizeof a);
      std::memcpy(&b, expected.data() + i, sizeof b);
      if (a != a && b != b) continue;
    }
    return int64_t(i);
  }
  return -1;
}

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Scratch = std::unique_ptr<std::byte, Free>;

class Replay {
 public:
  // False if a result differs.
  bool run(const Family& family, const Row& row, const Record& record, int64_t chunk) {
    alignas(64) std::byte params[kMostParams];
    if (record.params.size() != family.params_bytes || record.params.size() > sizeof params ||
        record.operands.size() != family.n_operands)
      return complain(row, "the record does not fit the family");
    std::memcpy(params, record.params.data(), record.params.size());
    std::vector<void*> operands;
    for (size_t i = 0; i < family.n_operands; ++i) operands.push_back(place(family, row, record.operands[i], i));

    const size_t scratch = (family.scratch_bytes(row, params) + 127) / 64 * 64;
    Job job{row, operands.data(), params, {}};
    for (Scratch& part : job.scratch) {
      part.reset(static_cast<std::byte*>(std::aligned_alloc(64, scratch)));
      std::memset(part.get(), 0xFF, scratch);
    }
    {
      const FlushDenormals flush;
      const ParallelRegion region(kThreads);
      parallel_for(kThreads, family.tasks(row, params), chunk, run_tasks, &job);
    }
    for (size_t i = 0; i < family.n_operands; ++i) {
      const RecordedOperand& operand = record.operands[i];
      if (operand.kind == kAbsent) continue;
      if (!memory_[i].is_whole()) return complain(row, "wrote before an operand");
      if (operand.kind == kPacked) continue;
      const bool is_f32 = operand.kind == kWritten && record.types.ends_with("f32");
      const Bytes expected = operand.kind == kWritten ? operand.after : operand.before;
      const auto* const got = static_cast<const std::byte*>(operands[i]);
      const int64_t at = find_difference(got, expected, is_f32);
      if (at < 0) continue;
      std::fprintf(stderr, "operand %zu of %zu bytes, byte %lld: ", i, expected.size(), static_cast<long long>(at));
      if (is_f32) {
        float a, b;
        std::memcpy(&a, got + at, sizeof a);
        std::memcpy(&b, expected.data() + at, sizeof b);
        std::fprintf(stderr, "%a instead of %a: ", double(a), double(b));
      }
      return complain(row, "another result");
    }
    return true;
  }

 private:
  static constexpr int kThreads = 2;
  static constexpr size_t kMostParams = 1024;

  struct Job {
    const Row& row;
    void* const* operands;
    const void* params;
    Scratch scratch[kThreads];
  };

  static void run_tasks(void* context, int thread, int64_t begin, int64_t end) {
    const Job& job = *static_cast<const Job*>(context);
    job.row.run({job.operands, job.params, job.scratch[thread].get()}, begin, end);
  }

  static bool complain(const Row& row, const char* what) {
    std::fprintf(stderr, "%s: %s\n", row.symbol, what);
    return false;
  }

  void* place(const Family& family, const Row& row, const RecordedOperand& operand, size_t i) {
    if (operand.kind == kAbsent) return nullptr;
    if (memory_.size() <= i) memory_.resize(i + 1);
    const bool is_packed = operand.kind == kPacked;
    alignas(64) std::byte params[kMostParams];
    std::memcpy(params, operand.params.data(), operand.params.size());
    std::byte* const at =
        memory_[i].take(is_packed ? family.packed_bytes(row, params) : operand.before.size(), is_packed ? 64 : 1);
    if (is_packed) {
      family.pack(row, params, operand.before.data(), at);
    } else {
      std::memcpy(at, operand.before.data(), operand.before.size());
    }
    return at;
  }

  std::vector<Fenced> memory_;
};

Bytes map_file(const char* path) {
  const int file = open(path, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status)) fail(path);
  if (status.st_size == 0) return {};
  void* const memory = mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_PRIVATE, file, 0);
  if (memory == MAP_FAILED) fail(path);
  return {static_cast<const char*>(memory), size_t(status.st_size)};
}

int replay(const char* path) {
  std::printf("isas");
  for (int isa = 0; isa < kIsas; ++isa)
    if (available_isas() >> isa & 1) std::printf(" %s", isa_name(Isa(isa)));
  std::printf("\n");
  Replay replay;
  bool is_right = true;
  std::vector<std::vector<int64_t>> calls;
  for (const Family* family : families()) calls.emplace_back(family->n_rows);
  int64_t number = 0;
  for (Reader reader(map_file(path)); !reader.is_at_end(); ++number) {
    const Record record = read_record(reader.bytes());
    for (size_t f = 0; f < families().size(); ++f) {
      const Family& family = *families()[f];
      for (size_t r = 0; r < family.n_rows; ++r) {
        const Row& row = family.rows[r];
        if (record.family != family.name || record.op != row.op || record.types != row.types) continue;
        if (!(available_isas() >> int(row.isa) & 1)) continue;
        ++calls[f][r];
        is_right = replay.run(family, row, record, number % 2 ? 1 : 1 << 20) && is_right;
      }
    }
  }
  for (size_t f = 0; f < families().size(); ++f)
    for (size_t r = 0; r < families()[f]->n_rows; ++r)
      std::printf("%s %lld\n", families()[f]->rows[r].symbol, static_cast<long long>(calls[f][r]));
  return is_right ? 0 : 1;
}

}  // namespace
}  // namespace rushlight

int main(int argc, char** argv) {
  if (argc == 2) return rushlight::replay(argv[1]);
  std::fprintf(stderr, "usage: replay FILE\n");
  return 2;
}
