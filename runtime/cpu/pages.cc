#include "pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <new>

namespace rushlight {
namespace {

size_t mapped_bytes(size_t bytes) {
  static const auto page = size_t(sysconf(_SC_PAGESIZE));
  return (std::max<size_t>(bytes, 1) + page - 1) / page * page;
}

}  // namespace

std::byte* map_pages(size_t bytes) {
  const size_t size = mapped_bytes(bytes);
  if (size < bytes || size + kHugePage < size) throw std::bad_alloc();
  void* const raw = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::byte*>(raw);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (before) munmap(begin, before);
  munmap(begin + before + size, kHugePage - before);
  madvise(begin + before, size, MADV_HUGEPAGE);  // refused by a system that has none, which leaves small pages
  return begin + before;
}

void unmap_pages(std::byte* data, size_t bytes) { munmap(data, mapped_bytes(bytes)); }

}  // namespace rushlight
