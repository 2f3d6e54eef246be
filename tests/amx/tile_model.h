// The tile registers of AMX in C, for CPUs that lack them: palette 1 and the instructions that the kernels use, as
// Intel's SDM gives them (volume 1, chapter 18; volume 2). Memory is touched as the instructions touch it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace rushlight {
namespace {

class TileModel {
 public:
  // Every instruction returns why the CPU would raise an exception, or null.

  const char* configure(const TileConfig& config) {
    if (config.palette > 1) return "ldtilecfg: no such palette";
    if (config.palette == 0) return release();
    if (config.start_row != 0) return "ldtilecfg: a start row that no interrupted instruction has left";
    for (const uint8_t byte : config.reserved) {
      if (byte != 0) return "ldtilecfg: a reserved byte is set";
    }
    for (int i = 0; i < 16; ++i) {
      const int rows = config.rows[i], bytes = config.row_bytes[i];
      if (i >= kTiles && (rows || bytes)) return "ldtilecfg: a register that palette 1 has not";
      if (rows > kMostRows || bytes > kMostBytes) return "ldtilecfg: a register larger than 16 rows of 64 bytes";
      if ((rows == 0) != (bytes == 0)) return "ldtilecfg: a register with rows or bytes, not both";
    }
    for (int i = 0; i < kTiles; ++i) tiles_[i] = {config.rows[i], config.row_bytes[i], {}};
    return nullptr;
  }

  const char* release() {
    for (Tile& tile : tiles_) tile = {};
    return nullptr;
  }

  const char* load(int t, const void* p, int64_t stride) {
    if (!is_configured(t)) return "tileloadd: the register is not configured";
    Tile& tile = tiles_[t];
    std::memset(tile.data, 0, sizeof tile.data);
    for (int i = 0; i < tile.rows; ++i) {
      std::memcpy(tile.data[i], static_cast<const uint8_t*>(p) + i * stride, size_t(tile.bytes));
    }
    return nullptr;
  }

  const char* store(int t, void* p, int64_t stride) const {
    if (!is_configured(t)) return "tilestored: the register is not configured";
    const Tile& tile = tiles_[t];
    for (int i = 0; i < tile.rows; ++i) {
      std::memcpy(static_cast<uint8_t*>(p) + i * stride, tile.data[i], size_t(tile.bytes));
    }
    return nullptr;
  }

  // tdpbusd
  const char* multiply_add(int c, int a, int b) {
    if (c == a || c == b || a == b) return "tdpbusd: a register is named twice";
    if (!is_configured(c) || !is_configured(a) || !is_configured(b)) return "tdpbusd: a register is not configured";
    Tile& sums = tiles_[c];
    const Tile &left = tiles_[a], &right = tiles_[b];
    if (sums.bytes % 4 || left.bytes % 4 || right.bytes % 4) return "tdpbusd: rows of a fraction of four bytes";
    if (sums.rows != left.rows) return "tdpbusd: the first factor has not the rows of the sum";
    if (sums.bytes != right.bytes) return "tdpbusd: the second factor has not the columns of the sum";
    if (left.bytes / 4 != right.rows) return "tdpbusd: the first factor has not a column for every row of the second";
    const int columns = sums.bytes / 4;
    for (int m = 0; m < sums.rows; ++m) {
      uint32_t row[kMostBytes / 4];  // arithmetic that wraps
      std::memcpy(row, sums.data[m], sizeof row);
      for (int k = 0; k < right.rows; ++k) {
        for (int n = 0; n < columns; ++n) {
          for (int i = 0; i < 4; ++i) {
            row[n] += uint32_t(int32_t(left.data[m][4 * k + i]) * int32_t(int8_t(right.data[k][4 * n + i])));
          }
        }
      }
      std::memcpy(sums.data[m], row, sizeof row);
    }
    return nullptr;
  }

 private:
  static constexpr int kTiles = 8, kMostRows = 16, kMostBytes = 64;

  struct Tile {
    int rows, bytes;
    uint8_t data[kMostRows][kMostBytes];
  };

  bool is_configured(int t) const { return t >= 0 && t < kTiles && tiles_[t].rows > 0; }

  Tile tiles_[kTiles] = {};
};

thread_local constinit TileModel tile_model;

inline void end_at_exception(const char* exception) {
  if (!exception) return;
  std::fprintf(stderr, "%s\n", exception);
  std::abort();
}

inline void configure_tiles(const TileConfig& config) { end_at_exception(tile_model.configure(config)); }
inline void release_tiles() { end_at_exception(tile_model.release()); }

template <int T>
inline void load_tile(const void* p, int64_t stride) {
  end_at_exception(tile_model.load(T, p, stride));
}

template <int T>
inline void store_tile(void* p, int64_t stride) {
  end_at_exception(tile_model.store(T, p, stride));
}

template <int C, int A, int B>
inline void multiply_add_tiles() {
  end_at_exception(tile_model.multiply_add(C, A, B));
}

}  // namespace
}  // namespace rushlight
