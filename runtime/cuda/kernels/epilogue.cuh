// From exact sums to results, as qlinear and qconv2d define it: v = fma(float(sum + offset[c]), scale[c], bias[c]),
// then v = fma(float(residual), residual_scale, v), then v clamped to [low, high] and, for uint8, rounded half to even.
// NaN becomes `low`. Channels are the fastest axis of residual and out.
#pragma once
#include "device.cuh"

struct Epilogue {
  const int32_t* offset;    // [channels]: -zero point of x * sum of the channel's weights
  const float* scale;       // [channels]
  const float* bias;        // [channels]
  const uint8_t* residual;  // [rows, channels] or null
  void* out;                // [rows, channels], float where `is_float`, else uint8
  int32_t channels;
  int32_t is_float;
  float residual_scale;
  float low;
  float high;
};

struct alignas(16) Vector16 {
  uint32_t word[4];
};

struct Channel {
  int offset;
  float scale, bias;
};

DEVICE Channel load_channel(const Epilogue& e, int channel) {
  return {e.offset[channel], e.scale[channel], e.bias[channel]};
}

DEVICE float scale_sum(int sum, const Channel& channel) {
  return multiply_add(static_cast<float>(sum + channel.offset), channel.scale, channel.bias);
}

DEVICE float add_residual(const Epilogue& e, uint8_t residual, float v) {
  return multiply_add(static_cast<float>(residual), e.residual_scale, v);
}

DEVICE float clamp(const Epilogue& e, float v) { return minimum(maximum(v, e.low), e.high); }

DEVICE uint8_t to_byte(const Epilogue& e, float v) { return static_cast<uint8_t>(round_to_int(clamp(e, v))); }

// One element at `index` of residual and out.
DEVICE void store_element(const Epilogue& e, int64_t index, int channel, int sum) {
  float v = scale_sum(sum, load_channel(e, channel));
  if (e.residual != nullptr) v = add_residual(e, e.residual[index], v);
  if (e.is_float) {
    static_cast<float*>(e.out)[index] = clamp(e, v);
  } else {
    static_cast<uint8_t*>(e.out)[index] = to_byte(e, v);
  }
}

// Calls move(staged, index, is_vector) for the elements of a tile, 16 together where `global`, the tile's first, allows
// it.
template <int Rows, int Columns, int Threads, class Move>
DEVICE void move_rows(unsigned char* staging, int thread, int rows, int columns, int pitch, Move move,
                      const uint8_t* global) {
  constexpr int kVectors = Columns / 16;
  for (int i = thread; i < Rows * kVectors; i += Threads) {
    const int r = i / kVectors, c = i % kVectors * 16;
    if (r >= rows || c >= columns) continue;
    const int64_t index = static_cast<int64_t>(r) * pitch + c;
    unsigned char* staged = staging + r * (Columns + 16) + c;
    if (c + 16 <= columns && reinterpret_cast<uintptr_t>(global + index) % 16 == 0) {
      move(staged, index, true);
    } else {
      for (int b = 0; b < 16 && c + b < columns; ++b) move(staged + b, index + b, false);
    }
  }
}

// Calls visit(row, column, v, v of the next column) for the scaled sums of a thread; see store_tile.
template <int FragmentsM, int FragmentsN, class Visit>
DEVICE void for_each_pair(const Epilogue& e, int (&sums)[FragmentsM][FragmentsN][4], int row, int column,
                          int first_channel, int columns, Visit visit) {
#pragma unroll
  for (int j = 0; j < FragmentsN; ++j) {
    const int c = column + j * 8;
    const Channel left = load_channel(e, first_channel + (c < columns ? c : 0));
    const Channel right = load_channel(e, first_channel + (c + 1 < columns ? c + 1 : 0));
#pragma unroll
    for (int i = 0; i < FragmentsM; ++i) {
      visit(row + i * 16, c, scale_sum(sums[i][j][0], left), scale_sum(sums[i][j][1], right));
      visit(row + i * 16 + 8, c, scale_sum(sums[i][j][2], left), scale_sum(sums[i][j][3], right));
    }
    if (j % 4 == 3) hold_loads();
  }
}

// A tile of accumulators in the layout of multiply_u8s8, spread over the threads of a group: fragment (i, j) of a
// thread covers rows row + 16 i + g (and + 8) and columns column + 8 j + 2 t (and + 1) of a tile of `Rows` x `Columns`.
// Shared memory brings residuals and results into rows that leave 16 bytes at a time.
template <int Rows, int Columns, int Threads, int FragmentsM, int FragmentsN, class Sync>
DEVICE void store_tile(const Epilogue& e, int (&sums)[FragmentsM][FragmentsN][4], unsigned char* staging, int thread,
                       int row, int column, int64_t first_row, int rows, int first_channel, int columns, Sync sync) {
  constexpr int kPitch = Columns + 16;
  const int64_t first = first_row * e.channels + first_channel;
  const int g = thread % 32 / 4, t = thread % 4;
  if (e.residual != nullptr) {
    move_rows<Rows, Columns, Threads>(
        staging, thread, rows, columns, e.channels,
        [&](unsigned char* staged, int64_t i, bool is_vector) {
          const uint8_t* residual = e.residual + first + i;
          if (is_vector) {
            *reinterpret_cast<Vector16*>(staged) = *reinterpret_cast<const Vector16*>(residual);
          } else {
            *staged = *residual;
          }
        },
        e.residual + first);
    sync();
  }
  if (e.is_float) {
    for_each_pair(e, sums, row + g, column + t * 2, first_channel, columns, [&](int r, int c, float v0, float v1) {
      const uint32_t added = *reinterpret_cast<const uint16_t*>(staging + r * kPitch + c);
      float* out = static_cast<float*>(e.out) + first + static_cast<int64_t>(r) * e.channels + c;
      if (e.residual != nullptr) v0 = add_residual(e, static_cast<uint8_t>(added), v0);
      if (e.residual != nullptr) v1 = add_residual(e, static_cast<uint8_t>(added >> 8), v1);
      if (r < rows && c < columns) out[0] = clamp(e, v0);
      if (r < rows && c + 1 < columns) out[1] = clamp(e, v1);
    });
    sync();
    return;
  }
  for_each_pair(e, sums, row + g, column + t * 2, first_channel, columns, [&](int r, int c, float v0, float v1) {
    auto* staged = reinterpret_cast<uint16_t*>(staging + r * kPitch + c);
    const uint32_t added = *staged;
    if (e.residual != nullptr) v0 = add_residual(e, static_cast<uint8_t>(added), v0);
    if (e.residual != nullptr) v1 = add_residual(e, static_cast<uint8_t>(added >> 8), v1);
    *staged = static_cast<uint16_t>(to_byte(e, v0) | to_byte(e, v1) << 8);
  });
  sync();
  uint8_t* out = static_cast<uint8_t*>(e.out) + first;
  move_rows<Rows, Columns, Threads>(
      staging, thread, rows, columns, e.channels,
      [&](const unsigned char* staged, int64_t i, bool is_vector) {
        if (is_vector) {
          *reinterpret_cast<Vector16*>(out + i) = *reinterpret_cast<const Vector16*>(staged);
        } else {
          out[i] = *staged;
        }
      },
      out);
}
