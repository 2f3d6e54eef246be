#include "kernels/move/block_generic.h"
#include "kernels/move/copy.h"
#include "kernels/move/pad.h"

namespace rushlight {
void copy_x8_8x8_generic(const Call& call, int64_t begin, int64_t end) {
  copy<uint8_t, Block<uint8_t>>(call, begin, end);
}
void copy_x16_8x8_generic(const Call& call, int64_t begin, int64_t end) {
  copy<uint16_t, Block<uint16_t>>(call, begin, end);
}
void copy_x32_8x8_generic(const Call& call, int64_t begin, int64_t end) {
  copy<uint32_t, Block<uint32_t>>(call, begin, end);
}
void copy_x64_8x8_generic(const Call& call, int64_t begin, int64_t end) {
  copy<uint64_t, Block<uint64_t>>(call, begin, end);
}

void pad_constant_x8_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint8_t, PadMode::constant>(call, begin, end);
}
void pad_constant_x16_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint16_t, PadMode::constant>(call, begin, end);
}
void pad_constant_x32_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint32_t, PadMode::constant>(call, begin, end);
}
void pad_constant_x64_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint64_t, PadMode::constant>(call, begin, end);
}
void pad_edge_x8_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint8_t, PadMode::edge>(call, begin, end);
}
void pad_edge_x16_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint16_t, PadMode::edge>(call, begin, end);
}
void pad_edge_x32_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint32_t, PadMode::edge>(call, begin, end);
}
void pad_edge_x64_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint64_t, PadMode::edge>(call, begin, end);
}
void pad_reflect_x8_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint8_t, PadMode::reflect>(call, begin, end);
}
void pad_reflect_x16_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint16_t, PadMode::reflect>(call, begin, end);
}
void pad_reflect_x32_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint32_t, PadMode::reflect>(call, begin, end);
}
void pad_reflect_x64_1x1_generic(const Call& call, int64_t begin, int64_t end) {
  pad<uint64_t, PadMode::reflect>(call, begin, end);
}

}  // namespace rushlight
