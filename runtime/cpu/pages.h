// Memory of its own pages, huge ones where the system gives them.
#pragma once

#include <cstddef>

namespace rushlight {

constexpr size_t kHugePage = size_t(2) << 20;

// Zeroed memory at a multiple of kHugePage. What does not fill a huge page at the end lies in small ones: no memory is
// taken that was not asked for. Throws std::bad_alloc.
std::byte* map_pages(size_t bytes);

// Gives back all of what map_pages(bytes) returned.
void unmap_pages(std::byte* data, size_t bytes);

}  // namespace rushlight
