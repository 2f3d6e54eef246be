// How tiles of sums in the registers of a block's warps become results.
#pragma once
#include "epilogue.cuh"

// Calls move(staged, index, is_vector) for the elements of a tile, 16 together where `global`, the tile's first, allows
// it.
template <int Rows, int Columns, int Threads, class Move>
DEVICE void move_rows(unsigned char* staging, int thread, const Target& target, int64_t pitch, Move move,
                      const uint8_t* global) {
  constexpr int kVectors = Columns / 16;
  for (int i = thread; i < Rows * kVectors; i += Threads) {
    const int r = i / kVectors, c = i % kVectors * 16;
    if (r >= target.rows || c >= target.columns) continue;
    const int64_t index = r * pitch + c;
    unsigned char* staged = staging + r * (Columns + 16) + c;
    if (c + 16 <= target.columns && reinterpret_cast<uintptr_t>(global + index) % 16 == 0) {
      move(staged, index, true);
    } else {
      for (int b = 0; b < 16 && c + b < target.columns; ++b) move(staged + b, index + b, false);
    }
  }
}

// Calls visit(row, column, v, v of the next column) for the scaled sums of a thread; see store_tile.
template <class Sum, int FragmentsM, int FragmentsN, class Visit>
DEVICE void for_each_pair(const Epilogue& e, Sum (&sums)[FragmentsM][FragmentsN][4], int row, int column,
                          const Target& target, Visit visit) {
#pragma unroll
  for (int j = 0; j < FragmentsN; ++j) {
    const int c = renew(column + j * 8), r = renew(row);  // so that addresses take no registers from column to column
    const int left = c < target.columns ? c : 0, right = c + 1 < target.columns ? c + 1 : 0;
    const auto first = load_channel<Sum>(e, target.offset + left, target.channel + left);
    const auto second = load_channel<Sum>(e, target.offset + right, target.channel + right);
#pragma unroll
    for (int i = 0; i < FragmentsM; ++i) {
      visit(r + i * 16, c, scale_sum(sums[i][j][0], first), scale_sum(sums[i][j][1], second));
      visit(r + i * 16 + 8, c, scale_sum(sums[i][j][2], first), scale_sum(sums[i][j][3], second));
    }
    if (j % 2 == 1) hold_loads();
  }
}

template <class Sum, int FragmentsM, int FragmentsN>
DEVICE void store_floats(const Epilogue& e, Sum (&sums)[FragmentsM][FragmentsN][4], int row, int column,
                         const Target& target) {
  float* out = static_cast<float*>(e.out) + target.out;
  const float* residual = residual_floats(e) + target.residual;
  const bool is_aligned = reinterpret_cast<uintptr_t>(out) % 8 == 0 && e.out_row % 2 == 0;
  for_each_pair(e, sums, row, column, target, [&](int r, int c, float v0, float v1) {
    if (r >= target.rows || c >= target.columns) return;
    const bool has_right = c + 1 < target.columns;
    if (e.residual != nullptr) {
      const float* added = residual + r * e.residual_row + c;
      v0 += added[0];
      if (has_right) v1 += added[1];
    }
    float* to = out + r * e.out_row + c;
    if (has_right && is_aligned) {
      *reinterpret_cast<Pair*>(to) = {limit(e, v0), limit(e, v1)};
    } else {
      to[0] = limit(e, v0);
      if (has_right) to[1] = limit(e, v1);
    }
  });
  if (!has_curve(e)) return;
  // What this thread stored, from memory again: so the kernel has the curves' code once, not once an element.
#pragma unroll 1
  for (int index = 0; index < FragmentsM * FragmentsN * 4; ++index) {
    const int r = row + index / 4 / FragmentsN * 16 + index / 2 % 2 * 8,
              c = column + index / 4 % FragmentsN * 8 + index % 2;
    if (r >= target.rows || c >= target.columns) continue;
    float* to = out + r * e.out_row + c;
    *to = apply_curve(e, *to);
  }
}

// A tile of accumulators in the layout of multiply_u8s8, spread over the threads of a group: fragment (i, j) of a
// thread covers rows row + 16 i + g (and + 8) and columns column + 8 j + 2 t (and + 1) of a tile of `Rows` x `Columns`.
// Shared memory brings residuals and results of bytes into rows that leave 16 at a time.
template <int Rows, int Columns, int Threads, class Sum, int FragmentsM, int FragmentsN, class Sync>
DEVICE void store_tile(const Epilogue& e, Sum (&sums)[FragmentsM][FragmentsN][4], unsigned char* staging, int thread,
                       int row, int column, const Target& target, Sync sync) {
  constexpr int kPitch = Columns + 16;
  row += thread % 32 / 4;
  column += thread % 4 * 2;
  if (__is_same(Sum, float) || e.is_float) return store_floats(e, sums, row, column, target);
  if (e.residual != nullptr) {
    const uint8_t* residual = residual_bytes(e) + target.residual;
    move_rows<Rows, Columns, Threads>(
        staging, thread, target, e.residual_row,
        [&](unsigned char* staged, int64_t i, bool is_vector) {
          if (is_vector) {
            *reinterpret_cast<Vector16*>(staged) = *reinterpret_cast<const Vector16*>(residual + i);
          } else {
            *staged = residual[i];
          }
        },
        residual);
    sync();
  }
  for_each_pair(e, sums, row, column, target, [&](int r, int c, float v0, float v1) {
    auto* staged = reinterpret_cast<uint16_t*>(staging + r * kPitch + c);
    if (e.residual != nullptr) {
      const uint32_t added = *staged;
      v0 = add_byte(e, static_cast<uint8_t>(added), v0);
      v1 = add_byte(e, static_cast<uint8_t>(added >> 8), v1);
    }
    *staged = static_cast<uint16_t>(to_byte(e, v0) | to_byte(e, v1) << 8);
  });
  sync();
  uint8_t* out = static_cast<uint8_t*>(e.out) + target.out;
  move_rows<Rows, Columns, Threads>(
      staging, thread, target, e.out_row,
      [&](const unsigned char* staged, int64_t i, bool is_vector) {
        if (is_vector) {
          *reinterpret_cast<Vector16*>(out + i) = *reinterpret_cast<const Vector16*>(staged);
        } else {
          out[i] = *staged;
        }
      },
      out);
}
