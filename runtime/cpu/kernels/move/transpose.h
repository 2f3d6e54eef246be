// Transposes of any size; for ISA files.
#pragma once

#include <cstdint>

namespace rushlight {
namespace {

// dst[i * dst_stride + j] = src[j * src_stride + i] with few, N, j; the compiler knows how many.
template <int N, class T>
void interleave(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t ni) {
  for (int64_t i = 0; i < ni; ++i)
    for (int j = 0; j < N; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
}

template <int N, class T>
void deinterleave(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t nj) {
  for (int64_t j = 0; j < nj; ++j)
    for (int i = 0; i < N; ++i) dst[i * dst_stride + j] = src[j * src_stride + i];
}

template <class T>
void transpose_edge(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t ni, int64_t nj) {
  if (nj == 2) return interleave<2>(src, src_stride, dst, dst_stride, ni);
  if (nj == 3) return interleave<3>(src, src_stride, dst, dst_stride, ni);
  if (nj == 4) return interleave<4>(src, src_stride, dst, dst_stride, ni);
  if (ni == 2) return deinterleave<2>(src, src_stride, dst, dst_stride, nj);
  if (ni == 3) return deinterleave<3>(src, src_stride, dst, dst_stride, nj);
  if (ni == 4) return deinterleave<4>(src, src_stride, dst, dst_stride, nj);
  for (int64_t i = 0; i < ni; ++i)
    for (int64_t j = 0; j < nj; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
}

// dst[i * dst_stride + j] = src[j * src_stride + i]; Block::transpose does so for kSize x kSize elements, and
// Block::interleave3, if there is one, for kSize x 3 with a dst_stride of 3.
template <class Block, class T>
void transpose(const T* src, int64_t src_stride, T* dst, int64_t dst_stride, int64_t ni, int64_t nj) {
  constexpr int64_t n = Block::kSize;
  if constexpr (requires { Block::interleave3(src, src_stride, dst); }) {
    if (nj == 3 && dst_stride == 3) {
      const int64_t whole = ni / n * n;
      for (int64_t i = 0; i < whole; i += n) Block::interleave3(src + i, src_stride, dst + 3 * i);
      return interleave<3>(src + whole, src_stride, dst + 3 * whole, dst_stride, ni - whole);
    }
  }
  const int64_t whole_i = ni / n * n, whole_j = nj / n * n;
  for (int64_t i = 0; i < whole_i; i += n)
    for (int64_t j = 0; j < whole_j; j += n)
      Block::transpose(src + j * src_stride + i, src_stride, dst + i * dst_stride + j, dst_stride);
  transpose_edge(src + whole_j * src_stride, src_stride, dst + whole_j, dst_stride, whole_i, nj - whole_j);
  transpose_edge(src + whole_i, src_stride, dst + whole_i * dst_stride, dst_stride, ni - whole_i, nj);
}

}  // namespace
}  // namespace rushlight
