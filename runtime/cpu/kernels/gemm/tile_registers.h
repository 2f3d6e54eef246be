// The tile registers of AMX and the instructions on them (Intel SDM, volume 1, chapter 18). Not the compiler's
// intrinsics, which take register numbers in macros only. Where RUSHLIGHT_TILE_MODEL is defined, as in tests, the model
// of tile_model.h takes the place of the instructions.
#pragma once

#include <cstdint>

namespace rushlight {

// Rows and bytes a row of each register; with palette 1, eight registers of at most 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace rushlight

#if defined(RUSHLIGHT_TILE_MODEL)
#include "tile_model.h"
#else
namespace rushlight {
namespace {

// Also clears every register.
inline void configure_tiles(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
inline void release_tiles() { asm volatile("tilerelease"); }

// Row i of register T lies at p + i * stride.
template <int T>
inline void load_tile(const void* p, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(T), "r"(p), "r"(stride) : "memory");
}

template <int T>
inline void store_tile(void* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(T), "r"(p), "r"(stride) : "memory");
}

// C[i][j] += sum of the four products of step k of A's row i and B's column j, over k: u8 of A, s8 of B.
template <int C, int A, int B>
inline void multiply_add_tiles() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
}

}  // namespace
}  // namespace rushlight
#endif
