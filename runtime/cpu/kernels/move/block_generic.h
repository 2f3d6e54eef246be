// Transposes of square blocks without vector instructions.
#pragma once

#include <cstdint>

namespace rushlight {
namespace {

template <class T>
struct Block {
  static constexpr int kSize = 8;
  static void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
    for (int i = 0; i < kSize; ++i)
      for (int j = 0; j < kSize; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
  }
};

}  // namespace
}  // namespace rushlight
