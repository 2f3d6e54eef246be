// Rows of bytes of one head of attention, on their way to shared memory.
#pragma once
#include "device.cuh"

// Row i lies at base + (numbers ? numbers[i] : i) * stride; `limit` rows of `width` bytes.
struct HeadRows {
  const uint8_t* base;
  int64_t stride;
  const int64_t* numbers;
  int limit, width;

  DEVICE const uint8_t* row(int64_t i) const { return base + (numbers != nullptr ? numbers[i] : i) * stride; }
};

// `count` rows from `first` on, `vectors` * 16 bytes of each from `column` on; zeros where there are none.
struct RowTile {
  unsigned char* to;
  int pitch, first, column, count, vectors;
};

// All threads of the block copy; what is copied is there once the copies' group has been waited for.
DEVICE void copy_rows(const HeadRows& from, const RowTile& tile) {
  const uint64_t places = reinterpret_cast<uintptr_t>(from.base) | static_cast<uint64_t>(from.stride);
  const int unit = places % 16 == 0 ? 16 : places % 4 == 0 ? 4 : 1;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < tile.count * tile.vectors; i += static_cast<int>(blockDim.x)) {
    const int row = i / tile.vectors, column = i % tile.vectors * 16;
    unsigned char* const to = tile.to + row * tile.pitch + column;
    const int left = tile.first + row < from.limit ? from.width - tile.column - column : 0;
    const uint8_t* const src = left > 0 ? from.row(tile.first + row) + tile.column + column : nullptr;
    if (left >= 16 && unit == 16) {
      copy_async<16>(to, src);
    } else if (left >= 16 && unit == 4) {
#pragma unroll
      for (int b = 0; b < 16; b += 4) copy_async<4>(to + b, src + b);
    } else {
#pragma unroll 1
      for (int b = 0; b < 16; ++b) to[b] = b < left ? src[b] : 0;
    }
  }
}
