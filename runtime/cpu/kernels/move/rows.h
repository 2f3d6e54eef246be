// Copies along one dimension. Internal linkage: ISA files include it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rushlight {
namespace {

// `count` rows of `bytes` bytes, kPart to twice that: each as its first and its last kPart bytes.
template <int64_t kPart>
inline void copy_parts(const std::byte* src, int64_t src_step, std::byte* dst, int64_t dst_step, int64_t bytes,
                       int64_t count) {
  struct Part {
    std::byte bytes[kPart];
  };
  const int64_t last = bytes - kPart;
  for (; count > 0; --count, src += src_step, dst += dst_step) {
    Part begin, end;
    __builtin_memcpy(&begin, src, kPart);
    __builtin_memcpy(&end, src + last, kPart);
    __builtin_memcpy(dst, &begin, kPart);
    __builtin_memcpy(dst + last, &end, kPart);
  }
}

// `count` rows of `bytes` bytes, so many bytes apart.
inline void copy_rows(const std::byte* src, int64_t src_step, std::byte* dst, int64_t dst_step, int64_t bytes,
                      int64_t count) {
  if (bytes > 128) {
    for (; count > 0; --count, src += src_step, dst += dst_step) __builtin_memcpy(dst, src, size_t(bytes));
  } else if (bytes >= 64) {
    copy_parts<64>(src, src_step, dst, dst_step, bytes, count);
  } else if (bytes >= 32) {
    copy_parts<32>(src, src_step, dst, dst_step, bytes, count);
  } else if (bytes >= 16) {
    copy_parts<16>(src, src_step, dst, dst_step, bytes, count);
  } else if (bytes >= 8) {
    copy_parts<8>(src, src_step, dst, dst_step, bytes, count);
  } else if (bytes >= 4) {
    copy_parts<4>(src, src_step, dst, dst_step, bytes, count);
  } else if (bytes >= 2) {
    copy_parts<2>(src, src_step, dst, dst_step, bytes, count);
  } else if (bytes == 1) {
    copy_parts<1>(src, src_step, dst, dst_step, bytes, count);
  }
}

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
