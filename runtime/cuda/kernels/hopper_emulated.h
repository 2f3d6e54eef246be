// The CPU twin of hopper.cuh. A TensorMap counts bytes here; the upper half of the word with a tile's columns or
// channels is the size of an element, 4 of floats, which are rounded. It is, for a matrix: address, columns, rows,
// pitch, columns and rows of a tile; for images: address, channels, width, height, images, bytes from pixel to pixel,
// from row to row and from image to image, then the driver's corners of the bounding box (lower of width and height,
// upper of both), channels and pixels of a tile, traversal strides of width and height.
#pragma once
#include "emulated.h"

namespace emulator {

struct Barrier {
  uint8_t parity, count;
  int16_t pending;
  int32_t bytes;
};
static_assert(sizeof(Barrier) == sizeof(uint64_t));

inline Barrier& barrier_at(uint64_t* p) {
  check_shared(p, 8, 8);
  return *reinterpret_cast<Barrier*>(p);
}

inline void settle(Barrier& barrier) {
  if (barrier.pending != 0 || barrier.bytes != 0) return;
  barrier.parity ^= 1;
  barrier.pending = barrier.count;
}

// Where a byte of a tile lies that without swizzle would lie at `offset`, in rows of `width` bytes.
inline size_t swizzle(size_t offset, int width) { return offset ^ (offset >> 7 & (width / 16 - 1)) << 4; }

inline void round_floats(unsigned char* bytes, int count) {
  for (int i = 0; i < count; i += 4) {
    uint32_t bits;
    memcpy(&bits, bytes + i, 4);
    bits = round_to_tf32(bits);
    memcpy(bytes + i, &bits, 4);
  }
}

inline void copy_tile(unsigned char* dst, const uint64_t* map, int column, int row) {
  const auto* source = reinterpret_cast<const unsigned char*>(map[0]);
  const auto columns = static_cast<int64_t>(map[1]), rows = static_cast<int64_t>(map[2]);
  const int width = static_cast<int>(map[4]), element = static_cast<int>(map[4] >> 32);
  column *= element;
  for (int r = 0; r < static_cast<int>(map[5]); ++r) {
    for (int c = 0; c < width; ++c) {
      const bool inside = row + r < rows && column + c < columns;
      dst[swizzle(static_cast<size_t>(r) * width + c, width)] = inside ? source[(row + r) * map[3] + column + c] : 0;
    }
  }
  if (element == 4) round_floats(dst, static_cast<int>(map[5]) * width);
}

// A pixel of images, in the order in which the PTX ISA's im2col mode visits them.
struct Place {
  int64_t w, h, image;
};

// The pixels from which im2col mode reads: the bounding box is [lower, size + upper) of width and height.
struct PixelBox {
  int64_t width, height, lower_w, lower_h, end_w, end_h, stride_w, stride_h;

  explicit PixelBox(const uint64_t* map) {
    const auto* field = reinterpret_cast<const int64_t*>(map);
    width = field[2], height = field[3], lower_w = field[8], lower_h = field[9];
    end_w = width + field[10], end_h = height + field[11], stride_w = field[14], stride_h = field[15];
  }

  bool has(const Place& at) const { return lower_w <= at.w && at.w < end_w && lower_h <= at.h && at.h < end_h; }

  void advance(Place& at) const {
    at.w += stride_w;
    if (at.w < end_w) return;
    at.w = lower_w;
    at.h += stride_h;
    if (at.h < end_h) return;
    at.h = lower_h;
    ++at.image;
  }
};

inline void copy_pixels(unsigned char* dst, const uint64_t* map, int channel, Place at, int offset_w, int offset_h) {
  const PixelBox box(map);
  const auto* source = reinterpret_cast<const unsigned char*>(map[0]);
  const auto channels = static_cast<int64_t>(map[1]), images = static_cast<int64_t>(map[4]);
  const int width = static_cast<int>(map[12]), element = static_cast<int>(map[12] >> 32);
  channel *= element;
  for (int pixel = 0; pixel < static_cast<int>(map[13]); ++pixel, box.advance(at)) {
    const int64_t w = at.w + offset_w, h = at.h + offset_h;
    const bool is_pixel = w >= 0 && w < box.width && h >= 0 && h < box.height && at.image >= 0 && at.image < images;
    const unsigned char* first = is_pixel ? source + at.image * map[7] + h * map[6] + w * map[5] : nullptr;
    for (int c = 0; c < width; ++c) {
      const bool inside = is_pixel && channel + c < channels;
      dst[swizzle(static_cast<size_t>(pixel) * width + c, width)] = inside ? first[channel + c] : 0;
    }
  }
  if (element == 4) round_floats(dst, static_cast<int>(map[13]) * width);
}

// Lets `copy` write `rows` rows of `width` bytes, now or later, and `barrier` hear of them.
template <class Copy>
void start_transfer(void* dst, int rows, int width, uint64_t* barrier, Copy copy) {
  check_shared(dst, static_cast<size_t>(rows) * width, 8 * width);
  Barrier* state = &barrier_at(barrier);
  const auto transfer = [=] {
    copy(static_cast<unsigned char*>(dst));
    state->bytes -= rows * width;
    settle(*state);
  };
  if (active->eager & kCopies) {
    transfer();
  } else {
    active->transfers.push_back(transfer);
  }
}

}  // namespace emulator

DEVICE void init_barrier(uint64_t* barrier, int count) {
  emulator::barrier_at(barrier) = {0, static_cast<uint8_t>(count), static_cast<int16_t>(count), 0};
}

DEVICE void publish_barriers() {}

DEVICE void arrive_expecting(uint64_t* barrier, int bytes) {
  emulator::Barrier& state = emulator::barrier_at(barrier);
  emulator::require(state.pending > 0, "more arrivals than the barrier counts");
  --state.pending;
  state.bytes += bytes;
  emulator::settle(state);
  emulator::follow_signal();
}

DEVICE void arrive(uint64_t* barrier) { arrive_expecting(barrier, 0); }

DEVICE void wait_barrier(uint64_t* barrier, int parity) {
  const emulator::Barrier* state = &emulator::barrier_at(barrier);
  emulator::wait_until([state, parity] { return state->parity != parity; });
}

DEVICE void load_tile(void* dst, const TensorMap* map, int column, int row, uint64_t* barrier) {
  const int width = static_cast<int>(map->opaque[4]), rows = static_cast<int>(map->opaque[5]);
  emulator::start_transfer(dst, rows, width, barrier,
                           [=](unsigned char* to) { emulator::copy_tile(to, map->opaque, column, row); });
}

DEVICE void load_pixels(void* dst, const TensorMap* map, int channel, int left, int top, int image, int offset_w,
                        int offset_h, uint64_t* barrier) {
  const emulator::Place first{left, top, image};
  const auto is_offset = [](int offset) { return offset >= 0 && offset < 256; };
  emulator::require(emulator::PixelBox(map->opaque).has(first), "a window outside of its bounding box");
  emulator::require(is_offset(offset_w) && is_offset(offset_h), "an offset beyond its eight bits");
  const int width = static_cast<int>(map->opaque[12]), pixels = static_cast<int>(map->opaque[13]);
  emulator::start_transfer(dst, pixels, width, barrier, [=](unsigned char* to) {
    emulator::copy_pixels(to, map->opaque, channel, first, offset_w, offset_h);
  });
}

template <int Registers>
DEVICE void take_registers() {}

template <int Registers>
DEVICE void give_registers() {}

DEVICE void begin_products() {}

DEVICE void commit_products() {
  auto& fiber = emulator::self();
  fiber.product_groups.push_back(std::move(fiber.products));
  fiber.products.clear();
}

template <int Pending>
DEVICE void wait_products() {
  emulator::run_collective([](emulator::Fiber* warp) {
    for (int lane = 0; lane < emulator::kWarp; ++lane) {
      auto& groups = warp[lane].product_groups;
      while (static_cast<int>(groups.size()) > Pending) {
        for (const auto& product : groups.front()) product();
        groups.pop_front();
      }
    }
  });
}

template <class Sum, int Fragments>
DEVICE void settle_products(Sum (&)[Fragments][4]) {}

// The tile's offset in shared memory, and the width of its rows.
template <int Width>
DEVICE uint64_t describe_tile(const void* tile) {
  emulator::check_shared(tile, 8 * Width, 8 * Width);
  const auto offset = static_cast<const unsigned char*>(tile) - emulator::active->shared;
  return static_cast<uint64_t>(offset) | uint64_t{Width} << 32;
}

DEVICE void add_products(int& sum, const unsigned char* left, const unsigned char* right) {
  for (int k = 0; k < 16; ++k) sum += left[k] * static_cast<int8_t>(right[k]);
}

DEVICE void add_products(float& sum, const unsigned char* left, const unsigned char* right) {
  uint32_t a[4], b[4];
  memcpy(a, left, 16);
  memcpy(b, right, 16);
  for (int k = 0; k < 4; ++k) sum = std::fma(read_tf32(a[k]), read_tf32(b[k]), sum);
}

template <class Sum, int Fragments>
DEVICE void multiply_tiles(Sum (&d)[Fragments][4], uint64_t a, uint64_t b, int step, bool accumulate) {
  const int thread = emulator::self().linear % 128, lane = thread % 32;
  const unsigned char* shared = emulator::active->shared;
  // Sixteen bytes of a row of a tile.
  const auto vector = [=](uint64_t tile, int row, int byte) {
    const auto width = static_cast<int>(tile >> 32);
    emulator::require(byte < width, "a step beyond the tile's rows");
    return shared + static_cast<uint32_t>(tile) + emulator::swizzle(static_cast<size_t>(row) * width + byte, width);
  };
  const auto product = [=, &d] {
    for (int j = 0; j < Fragments; ++j) {
      for (int i = 0; i < 4; ++i) {
        const int row = thread / 32 * 16 + lane / 4 + i / 2 * 8, column = j * 8 + lane % 4 * 2 + i % 2;
        Sum sum = accumulate ? d[j][i] : 0;
        for (int byte = step * 32; byte < step * 32 + 32; byte += 16) {
          add_products(sum, vector(a, row, byte), vector(b, column, byte));
        }
        d[j][i] = sum;
      }
    }
  };
  if (emulator::active->eager & emulator::kProducts) {
    product();
  } else {
    emulator::self().products.push_back(product);
  }
}
