// The packed form of s8 weights.
//
// generic row: int32 start[c], then s8 [kh * kw][c]. start is -zp * sum of weight[c].
// Vector rows: tiles of nr channels, then, in avx512 rows and where at most 32 channels are left, one tile of 32; in
// rows of 32 channels, whose registers have no masks, tiles of 16 where fewer than 32 are left. A tile is
//   int32 start[4][tile / 4]; of SDOT, which reads src as s8: (128 - zp) * sum of weight[c]
//   [(kh + 3) / 4][kw][4][parts][tile / 4][4 bytes]
// Element e of the four vectors v stands for channel 16 * (e / 4) + 4 * v + e % 4 of the tile: the order in which
// unpacking bytes within 128-bit lanes delivers them. With VNNI and SDOT parts is 1 and the 4 bytes are the weights of
// four filter rows, absent ones zero; without, part 0 holds s16 of the first and third row, part 1 of the second and
// fourth.
#pragma once

#include "kernels/depthwise/depthwise.h"

namespace rushlight {
namespace {

constexpr int64_t tile_channel(int64_t tile_vector, int64_t element) {
  return 16 * (element / 4) + 4 * tile_vector + element % 4;
}

// Bytes of a tile a channel; tiles follow one another.
inline int64_t packed_bytes_per_channel(const DepthwiseParams& p, int64_t parts) {
  return 4 + (p.kh + 3) / 4 * p.kw * parts * 4;
}

// Channels of the tile at `channel`, given the row's full tile.
inline int64_t tile_at(const DepthwiseParams& p, int64_t channel, int64_t full) {
  const int64_t left = p.c - channel;
  return (full == 64 && left <= 32) || (full == 32 && left < 32) ? full / 2 : full;
}

}  // namespace
}  // namespace rushlight
