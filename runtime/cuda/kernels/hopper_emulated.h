// The CPU twin of hopper.cuh. A TensorMap here is: address, columns, rows, pitch, columns and rows of a tile.
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

// The byte at (row, column) of a tile with the 128-byte swizzle, whose start may lie inside of a row.
inline size_t swizzle(size_t offset) { return offset ^ (offset >> 7 & 7) << 4; }

inline void copy_tile(unsigned char* dst, const uint64_t* map, int column, int row) {
  const auto* source = reinterpret_cast<const unsigned char*>(map[0]);
  const auto columns = static_cast<int64_t>(map[1]), rows = static_cast<int64_t>(map[2]);
  for (int r = 0; r < static_cast<int>(map[5]); ++r) {
    for (int c = 0; c < static_cast<int>(map[4]); ++c) {
      const bool inside = row + r < rows && column + c < columns;
      dst[swizzle(static_cast<size_t>(r) * 128 + c)] = inside ? source[(row + r) * map[3] + column + c] : 0;
    }
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
  const int bytes = static_cast<int>(map->opaque[4] * map->opaque[5]);
  emulator::check_shared(dst, bytes, 1024);
  emulator::Barrier* state = &emulator::barrier_at(barrier);
  const auto transfer = [=] {
    emulator::copy_tile(static_cast<unsigned char*>(dst), map->opaque, column, row);
    state->bytes -= bytes;
    emulator::settle(*state);
  };
  if (emulator::active->eager & emulator::kCopies) {
    transfer();
  } else {
    emulator::active->transfers.push_back(transfer);
  }
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

template <int Fragments>
DEVICE void settle_products(int (&)[Fragments][4]) {}

// The tile's offset in shared memory.
DEVICE uint64_t describe_tile(const void* tile) {
  emulator::check_shared(tile, 1024, 1024);
  return static_cast<uint64_t>(static_cast<const unsigned char*>(tile) - emulator::active->shared);
}

DEVICE void multiply_tiles(int (&d)[32][4], uint64_t a, uint64_t b, int step, bool accumulate) {
  const int thread = emulator::self().linear % 128, lane = thread % 32;
  const unsigned char* shared = emulator::active->shared;
  const auto product = [=, &d] {
    for (int j = 0; j < 32; ++j) {
      for (int i = 0; i < 4; ++i) {
        const int row = thread / 32 * 16 + lane / 4 + i / 2 * 8, column = j * 8 + lane % 4 * 2 + i % 2;
        int sum = accumulate ? d[j][i] : 0;
        for (int vector = 0; vector < 32; vector += 16) {
          const unsigned char* left =
              shared + a + emulator::swizzle(static_cast<size_t>(row) * 128 + step * 32 + vector);
          const unsigned char* right =
              shared + b + emulator::swizzle(static_cast<size_t>(column) * 128 + step * 32 + vector);
          for (int k = 0; k < 16; ++k) sum += left[k] * static_cast<int8_t>(right[k]);
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
