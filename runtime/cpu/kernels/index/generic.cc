#include "kernels/index/index.h"
#include "kernels/kernel.h"

namespace rushlight {
namespace {

template <class T>
void gather(const Call& call, int64_t begin, int64_t end) {
  const auto& p = *static_cast<const IndexParams*>(call.params);
  const char* x = static_cast<const char*>(call.operand[kIndexX]);
  const T* index = static_cast<const T*>(call.operand[kIndexIndex]);
  char* out = static_cast<char*>(call.operand[kIndexOut]);
  const int64_t rows = index_rows(p), group = index_group(p);
  const int64_t first = begin * group, stop = end * group < rows ? end * group : rows;
  int64_t i[kIndexRank], base = 0, at = 0;
  for (int64_t d = p.rank - 1, rest = first; d >= 0; --d) {
    i[d] = rest % p.dims[d];
    rest /= p.dims[d];
    base += i[d] * p.x_stride[d];
    at += i[d] * p.index_stride[d];
  }
  bool is_inside = true;
  for (int64_t r = first; r < stop; ++r) {
    int64_t offset = base;
    bool is_valid = true;
    for (int64_t k = 0; k < p.depth; ++k) {
      const int64_t named = index[at + k], place = named < 0 ? named + p.point_size[k] : named;
      is_valid &= place >= 0 && place < p.point_size[k];
      offset += is_valid ? place * p.point_stride[k] : 0;
    }
    is_inside &= is_valid;
    char* to = out + r * p.row;
    if (!is_valid) {
      __builtin_memset(to, 0, size_t(p.row));
    } else {
      switch (p.row) {
        case 1: *to = x[offset]; break;
        case 4: __builtin_memcpy(to, x + offset, 4); break;
        case 8: __builtin_memcpy(to, x + offset, 8); break;
        default: __builtin_memcpy(to, x + offset, size_t(p.row));
      }
    }
    for (int64_t d = p.rank - 1; d >= 0; --d) {
      base += p.x_stride[d];
      at += p.index_stride[d];
      if (++i[d] < p.dims[d]) break;
      base -= p.dims[d] * p.x_stride[d];
      at -= p.dims[d] * p.index_stride[d];
      i[d] = 0;
    }
  }
  if (!is_inside) __atomic_store_n(static_cast<int64_t*>(call.operand[kIndexFault]), 1, __ATOMIC_RELAXED);
}

}  // namespace

#define GATHER(types, T) \
  void gather_##types##_generic(const Call& call, int64_t begin, int64_t end) { gather<T>(call, begin, end); }
#include "kernels/index/kernels.inc"
#undef GATHER

}  // namespace rushlight
