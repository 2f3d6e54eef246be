// How the first elements of a line are found, and the memory that it takes: for kernels and for the executor.
#pragma once

#include "kernels/topk/topk.h"

namespace rushlight {
namespace {

constexpr int64_t kFew = 32;

// Elements that are kept in order: what comes is put in its place.
inline bool keeps_few(const TopkParams& p) { return p.k <= kFew; }
// So many that the whole line may as well be sorted.
inline bool keeps_most(const TopkParams& p) { return p.n / 8 < p.k; }

// Entries that are held at once. Those over k come before the last of the first k when they are found; once there is no
// more room, all are sorted and the first k stay.
inline int64_t topk_room(const TopkParams& p) { return keeps_few(p) ? p.k : keeps_most(p) ? p.n : 4 * p.k + 2 * kFew; }

// Whether rank and index have room in 64 bits.
inline bool is_packed(const TopkParams& p, int64_t item_bytes) { return item_bytes < 8 && p.n <= int64_t(1) << 32; }

// A line whose elements lie apart is gathered first; then come two lists of entries. Bytes are counted in place.
struct TopkScratch {
  int64_t line, list;

  TopkScratch(const TopkParams& p, int64_t item_bytes)
      : line(item_bytes == 1 || p.inner == 1 ? 0 : up(p.n * item_bytes)),
        list(item_bytes == 1 ? 0 : up(topk_room(p) * (is_packed(p, item_bytes) ? 8 : 16))) {}

  int64_t bytes() const { return line + 2 * list; }

 private:
  static int64_t up(int64_t bytes) { return (bytes + 63) / 64 * 64; }
};

}  // namespace
}  // namespace rushlight
