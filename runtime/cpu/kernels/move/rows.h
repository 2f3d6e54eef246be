// Copies along one dimension. Internal linkage: ISA files include it.
#pragma once

#include <cstdint>

namespace rushlight {
namespace {

template <class T>
void copy_row(const T* src, T* dst, int64_t n) {
  if (n * int64_t(sizeof(T)) >= 64) {
    __builtin_memcpy(dst, src, size_t(n) * sizeof(T));
  } else {
    for (int64_t k = 0; k < n; ++k) dst[k] = src[k];
  }
}

template <class T>
void copy_strided(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t n) {
  if (src_stride == 1 && dst_stride == 1) {
    copy_row(src, dst, n);
  } else if (src_stride == 0 && dst_stride == 1 && n > 0) {
    const T value = *src;
    for (int64_t k = 0; k < n; ++k) dst[k] = value;
  } else {
    for (int64_t k = 0; k < n; ++k) dst[k * dst_stride] = src[k * src_stride];
  }
}

}  // namespace
}  // namespace rushlight
