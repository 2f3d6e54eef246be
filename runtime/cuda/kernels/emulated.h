// The CPU twin of device.cuh: the same functions, on the emulator.
#pragma once
#include <cmath>

#include "emulator.h"

#define DEVICE inline
#define SHARED_MEMORY(name) unsigned char* name = emulator::active->shared
#define threadIdx (emulator::self().thread)
#define blockIdx (emulator::active->block)
#define blockDim (emulator::active->dim)
#define gridDim (emulator::active->grid)

// Beside the kernel, what a test calls: `emulate_<name>(grid, threads, shared bytes, seed, eager, params, message)`.
#define KERNEL(name, threads, blocks, Params)                                                                     \
  inline void name(const Params& p);                                                                              \
  extern "C" int emulate_##name(const unsigned* grid, unsigned dim, size_t shared, unsigned seed, unsigned eager, \
                                const void* params, char* message, size_t size) {                                 \
    const std::string error = emulator::launch({grid[0], grid[1], grid[2]}, {dim, 1, 1}, shared, seed, eager,     \
                                               [&] { name(*static_cast<const Params*>(params)); });               \
    snprintf(message, size, "%s", error.c_str());                                                                 \
    return !error.empty();                                                                                        \
  }                                                                                                               \
  inline void name(const Params& p)

DEVICE void sync_threads() { emulator::arrive_and_wait(emulator::active->barriers[0], emulator::active->live); }

DEVICE void sync_warp() {
  emulator::run_collective([](emulator::Fiber*) {});
}

DEVICE void sync_named(int barrier, int threads) {
  emulator::arrive_and_wait(emulator::active->barriers[barrier], threads);
}

DEVICE void perform(const emulator::Copy& copy) {
  memcpy(copy.dst, copy.src, copy.valid);
  memset(static_cast<char*>(copy.dst) + copy.valid, 0, copy.bytes - copy.valid);
}

template <int Bytes>
DEVICE void copy_async_or_zero(void* dst, const void* src, bool valid) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
  emulator::check_shared(dst, Bytes, Bytes);
  emulator::require(reinterpret_cast<uintptr_t>(src) % Bytes == 0, "misaligned source of cp.async");
  const emulator::Copy copy{dst, src, Bytes, valid ? Bytes : 0};
  if (emulator::active->eager & emulator::kCopies) {
    perform(copy);
  } else {
    emulator::self().uncommitted.push_back(copy);
  }
}

template <int Bytes>
DEVICE void copy_async(void* dst, const void* src) {
  copy_async_or_zero<Bytes>(dst, src, true);
}

DEVICE void commit_copies() {
  auto& fiber = emulator::self();
  fiber.committed.push_back(std::move(fiber.uncommitted));
  fiber.uncommitted.clear();
}

template <int Pending>
DEVICE void wait_copies() {
  auto& groups = emulator::self().committed;
  while (static_cast<int>(groups.size()) > Pending) {
    for (const auto& copy : groups.front()) perform(copy);
    groups.pop_front();
  }
}

DEVICE void load_matrices(uint32_t (&r)[4], const void* row) {
  emulator::check_shared(row, 16, 16);
  emulator::Fiber& fiber = emulator::self();
  fiber.address = row;
  emulator::run_collective([](emulator::Fiber* warp) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      for (int lane = 0; lane < 32; ++lane) {
        const auto* source = static_cast<const char*>(warp[matrix * 8 + lane / 4].address);
        memcpy(&warp[lane].results[matrix], source + lane % 4 * 4, 4);
      }
    }
  });
  memcpy(r, fiber.results, sizeof(r));
}

DEVICE void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  emulator::check_shared(row, 16, 16);
  emulator::Fiber& fiber = emulator::self();
  fiber.address = row;
  emulator::run_collective([](emulator::Fiber* warp) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 2; ++i) {
          const auto* source = static_cast<const char*>(warp[matrix * 8 + lane % 4 * 2 + i].address);
          memcpy(reinterpret_cast<char*>(&warp[lane].results[matrix]) + i * 2, source + lane / 4 * 2, 2);
        }
      }
    }
  });
  memcpy(r, fiber.results, sizeof(r));
}

template <class Left, class Right>
DEVICE void multiply_bytes(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::Fiber& fiber = emulator::self();
  memcpy(fiber.operands, a, 16);
  memcpy(fiber.operands + 4, b, 8);
  fiber.accumulators = d;
  emulator::run_collective([](emulator::Fiber* warp) {
    Left left[16][32];
    Right right[8][32];
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4;
      const uint32_t* operands = warp[lane].operands;
      memcpy(&left[g][t * 4], &operands[0], 4);
      memcpy(&left[g + 8][t * 4], &operands[1], 4);
      memcpy(&left[g][16 + t * 4], &operands[2], 4);
      memcpy(&left[g + 8][16 + t * 4], &operands[3], 4);
      memcpy(&right[g][t * 4], &operands[4], 4);
      memcpy(&right[g][16 + t * 4], &operands[5], 4);
    }
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        int* accumulator = static_cast<int*>(warp[lane].accumulators) + i;
        uint32_t sum = static_cast<uint32_t>(*accumulator);
        for (int k = 0; k < 32; ++k) sum += static_cast<uint32_t>(left[row][k] * right[column][k]);
        *accumulator = static_cast<int>(sum);
      }
    }
  });
}

DEVICE void multiply_u8s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply_bytes<uint8_t, int8_t>(d, a, b);
}
DEVICE void multiply_u8u8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply_bytes<uint8_t, uint8_t>(d, a, b);
}
DEVICE void multiply_s8u8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply_bytes<int8_t, uint8_t>(d, a, b);
}

// Tensor cores do not see the bits of a float that TF32 lacks.
DEVICE float read_tf32(uint32_t bits) { return __builtin_bit_cast(float, bits & ~0x1FFFu); }

DEVICE void multiply_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::Fiber& fiber = emulator::self();
  memcpy(fiber.operands, a, 16);
  memcpy(fiber.operands + 4, b, 8);
  fiber.accumulators = d;
  emulator::run_collective([](emulator::Fiber* warp) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4, column = lane % 4 * 2 + i % 2;
        float* sum = static_cast<float*>(warp[lane].accumulators) + i;
        for (int k = 0; k < 8; ++k) {
          const float left = read_tf32(warp[row * 4 + k % 4].operands[i / 2 + k / 4 * 2]);
          const float right = read_tf32(warp[column * 4 + k % 4].operands[4 + k / 4]);
          *sum = std::fma(left, right, *sum);
        }
      }
    }
  });
}

DEVICE uint32_t round_to_tf32(uint32_t x) {
  return (x & 0x7FFFFFFF) > 0x7F800000 ? 0x7FFFFFFF : (x + 0x1000) & ~0x1FFFu;
}

DEVICE uint32_t shuffle(uint32_t value, int lane) {
  emulator::Fiber& fiber = emulator::self();
  fiber.operands[0] = value;
  fiber.operands[1] = static_cast<uint32_t>(lane) % emulator::kWarp;
  emulator::run_collective([](emulator::Fiber* warp) {
    for (int i = 0; i < emulator::kWarp; ++i) warp[i].results[0] = warp[warp[i].operands[1]].operands[0];
  });
  return fiber.results[0];
}
DEVICE float shuffle(float value, int lane) {
  return __builtin_bit_cast(float, shuffle(__builtin_bit_cast(uint32_t, value), lane));
}

DEVICE uint32_t count_arrival(uint32_t* counter) { return (*counter)++; }

DEVICE int multiply_words(uint32_t first, uint32_t second, uint32_t bytes, int sum) {
  uint32_t total = static_cast<uint32_t>(sum);
  for (int i = 0; i < 4; ++i) {
    const auto word = static_cast<int16_t>((i < 2 ? first : second) >> i % 2 * 16);
    total += static_cast<uint32_t>(word * static_cast<int8_t>(bytes >> i * 8));
  }
  return static_cast<int>(total);
}

DEVICE float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
DEVICE int round_to_int(float x) { return static_cast<int>(std::nearbyint(x)); }
DEVICE float maximum(float a, float b) { return std::fmax(a, b); }
DEVICE float minimum(float a, float b) { return std::fmin(a, b); }
DEVICE float square_root(float x) { return __builtin_sqrtf(x); }
DEVICE float round_to_even(float x) { return __builtin_rintf(x); }
DEVICE float round_down(float x) { return __builtin_floorf(x); }
DEVICE float round_up(float x) { return __builtin_ceilf(x); }
DEVICE float round_to_zero(float x) { return __builtin_truncf(x); }
DEVICE int32_t float_bits(float x) { return __builtin_bit_cast(int32_t, x); }
DEVICE float float_from_bits(int32_t x) { return __builtin_bit_cast(float, x); }
DEVICE float half_to_float(uint16_t bits) { return static_cast<float>(__builtin_bit_cast(_Float16, bits)); }
DEVICE uint32_t select_bytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    result |= static_cast<uint32_t>(bytes >> 8 * (selector >> 4 * i & 7) & 255) << 8 * i;
  }
  return result;
}
DEVICE float flush(float x) {
  asm("addss %1, %0" : "+x"(x) : "x"(-0.0f));
  return x;
}
DEVICE void hold_loads() {}
DEVICE int renew(int value) { return value; }
