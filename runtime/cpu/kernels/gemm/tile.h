// Register tiles, for ISA files only. Step says what one multiply-add of a lane does with 4 bytes of each operand:
//   Acc, broadcast(p), load(p), multiply_add(acc, a, b) of what those two return
// and, if a register of a row's steps costs less to make than a broadcast of each:
//   Group, kGroup (steps in one), load_group(p), multiply_add_lane<Lane>(acc, group, b)
#pragma once

#include <utility>

#include "kernels/gemm/activate.h"
#include "kernels/gemm/finish.h"

namespace rushlight {
namespace {

constexpr int kGranuleVectors = 16 / kWidth;

struct StepF32 {
  using Acc = V;
  static RL_INLINE V broadcast(const std::byte* p) { return set(*reinterpret_cast<const float*>(p)); }
  static RL_INLINE V load(const std::byte* p) { return rushlight::load(reinterpret_cast<const float*>(p)); }
  static RL_INLINE void multiply_add(V& acc, V a, V b) { acc = fma(a, b, acc); }
};

// Weights of 16 bits in place of a Step's float32.
template <class Step, V (*Load)(const uint16_t*)>
struct HalfStep : Step {
  static constexpr int kWeightBytes = 2;
  static RL_INLINE V load(const std::byte* p) { return Load(reinterpret_cast<const uint16_t*>(p)); }
};

template <class Step>
constexpr int weight_bytes() {
  if constexpr (requires { Step::kWeightBytes; }) return Step::kWeightBytes;
  return 4;
}

// Low tiles read weights faster than the machine fetches them by itself, which stops at the end of every page.
constexpr int kStreamedRows = 2, kStreamedAhead = 8 << 10;

template <class Step, int Lane, int MR, int NV>
RL_INLINE void accumulate_lane(const std::byte* panel, const typename Step::Group (&a)[MR],
                               typename Step::Acc (&acc)[MR][NV]) {
  RL_UNROLL
  for (int j = 0; j < NV; ++j) {
    const auto b = Step::load(panel + (Lane * NV + j) * kWidth * 4);
    RL_UNROLL
    for (int i = 0; i < MR; ++i) Step::template multiply_add_lane<Lane>(acc[i][j], a[i], b);
  }
}

template <class Step, int MR, int NV, int... Lane>
RL_INLINE void accumulate_group(const std::byte* panel, const typename Step::Group (&a)[MR],
                                typename Step::Acc (&acc)[MR][NV], std::integer_sequence<int, Lane...>) {
  (accumulate_lane<Step, Lane>(panel, a, acc), ...);
}

// Every loop over the tile is unrolled: one that is not would put the accumulators into memory.
template <class Step, int MR, int NV>
RL_INLINE void accumulate(const GemmTile& tile, const std::byte* next, int64_t next_step,
                          typename Step::Acc (&acc)[MR][NV]) {
  const std::byte* panel = tile.weights;
  const std::byte* const* rows = tile.rows;
  const int64_t ahead = tile.streams ? kStreamedAhead : 0;
  constexpr int kVectorBytes = kWidth * weight_bytes<Step>();
  for (int64_t tap = 0; tap < tile.taps; ++tap, rows += tile.row_stride) {
    const std::byte* row[MR];
    RL_UNROLL
    for (int i = 0; i < MR; ++i) row[i] = rows[i] + tile.offset;
    int64_t step = 0;
    if constexpr (requires { Step::kGroup; } && MR > kStreamedRows) {
      for (; step + Step::kGroup <= tile.steps; step += Step::kGroup) {
        __builtin_prefetch(next, 0, 2);
        next += Step::kGroup * next_step;
        typename Step::Group a[MR];
        RL_UNROLL
        for (int i = 0; i < MR; ++i) a[i] = Step::load_group(row[i] + step * 4);
        accumulate_group<Step>(panel, a, acc, std::make_integer_sequence<int, Step::kGroup>());
        panel += Step::kGroup * NV * kWidth * 4;
      }
    }
    for (; step < tile.steps; ++step) {
      decltype(Step::load(panel)) b[NV];
      if constexpr (MR <= kStreamedRows) {
        RL_UNROLL
        for (int at = 0; at < NV * kVectorBytes; at += 64) __builtin_prefetch(panel + ahead + at);
      } else {
        __builtin_prefetch(next, 0, 2);
        next += next_step;
      }
      RL_UNROLL
      for (int j = 0; j < NV; ++j) b[j] = Step::load(panel + j * kVectorBytes);
      panel += NV * kVectorBytes;
      RL_UNROLL
      for (int i = 0; i < MR; ++i) {
        const auto a = Step::broadcast(row[i] + step * 4);
        RL_UNROLL
        for (int j = 0; j < NV; ++j) Step::multiply_add(acc[i][j], a, b[j]);
      }
    }
  }
}

// Asks for the lines of the first `m` rows of the tile in dst, to be written, and in residual, while the products run.
template <class Dst, int NV>
RL_INLINE void fetch_destination(const GemmTile& tile) {
  constexpr int kLine = 64;
  for (int64_t i = 0; i < tile.m; ++i) {
    const std::byte* const dst = tile.dst + i * tile.dst_row * int64_t(sizeof(Dst));
    for (int at = 0; at < NV * kWidth * int(sizeof(Dst)); at += kLine) __builtin_prefetch(dst + at, 1);
    if (!tile.residual) continue;
    const std::byte* const residual = tile.residual + i * tile.residual_row * int64_t(sizeof(Dst));
    for (int at = 0; at < NV * kWidth * int(sizeof(Dst)); at += kLine) __builtin_prefetch(residual + at, 0);
  }
}

// Activates the rows of a finished tile and goes on to the MR rows below.
template <class Dst, int MR>
RL_INLINE void next_tile(GemmTile& tile) {
  if (tile.activates) {
    for (int64_t i = 0; i < tile.m; ++i) {
      float* const row = reinterpret_cast<float*>(tile.dst) + i * tile.dst_row;
      activate(tile.activation, tile.alpha, tile.beta, row, tile.columns);
    }
  }
  tile.rows += MR;
  tile.dst += MR * tile.dst_row * int64_t(sizeof(Dst));
  if (tile.residual) tile.residual += MR * tile.residual_row * int64_t(sizeof(Dst));
}

// Runs the tiles over the steps of a chunk. What is needed next is fetched meanwhile, evenly: fetched at once, it would
// take the buffers that misses of L1 need. start(acc) gives the first sums, finish(tile, acc) takes the last.
template <class Step, class Dst, int MR, int NV, class Start, class Finish>
RL_INLINE void run_chunk(const GemmTile& chunk, Start start, Finish finish) {
  using Acc = typename Step::Acc;
  GemmTile tile = chunk;
  const int64_t tile_steps = chunk.taps * chunk.steps;
  const int64_t tile_bytes = ceil_div(chunk.next_bytes, ceil_div(chunk.m, MR));  // fetched by a tile
  const int64_t next_step = tile_steps > 0 ? ceil_div(tile_bytes, tile_steps) : 0;
  const std::byte* next = chunk.next_bytes > 0 ? chunk.next : chunk.weights;
  Acc* partial = reinterpret_cast<Acc*>(chunk.partial);
  for (int64_t rest = chunk.m; rest > 0; rest -= MR, partial += MR * NV) {
    tile.m = rest < MR ? rest : MR;
    Acc acc[MR][NV];
    if (chunk.is_first) {
      start(acc);
    } else {
      RL_UNROLL
      for (int i = 0; i < MR; ++i) {
        RL_UNROLL
        for (int j = 0; j < NV; ++j) acc[i][j] = partial[i * NV + j];
      }
    }
    if (chunk.is_last) fetch_destination<Dst, NV>(tile);
    accumulate<Step>(tile, next, next_step, acc);
    next += tile_bytes;
    if (chunk.is_last) {
      finish(tile, acc);
      next_tile<Dst, MR>(tile);
    } else {
      RL_UNROLL
      for (int i = 0; i < MR; ++i) {
        RL_UNROLL
        for (int j = 0; j < NV; ++j) partial[i * NV + j] = acc[i][j];
      }
      tile.rows += MR;
    }
  }
}

template <class Step, int MR, int NV>
void tile_f32(const GemmTile& whole) {
  const bool is_full = whole.columns == NV * kWidth;
  const auto start = [&](V(&acc)[MR][NV]) __attribute__((always_inline)) {
    V bias[NV];
    if (is_full) {
      load_columns<true>(whole.bias, whole.columns, bias);
    } else {
      load_columns<false>(whole.bias, whole.columns, bias);
    }
    RL_UNROLL
    for (int i = 0; i < MR; ++i) {
      RL_UNROLL
      for (int j = 0; j < NV; ++j) acc[i][j] = bias[j];
    }
  };
  run_chunk<Step, float, MR, NV>(whole, start,
                                 [=](const GemmTile& tile, V(&acc)[MR][NV]) __attribute__((always_inline)) {
                                   if (is_full) {
                                     finish_f32<true>(tile, acc);
                                   } else {
                                     finish_f32<false>(tile, acc);
                                   }
                                 });
}

template <class Step, class Dst, int MR, int NV>
void tile_u8s8(const GemmTile& whole) {
  const bool is_full = whole.columns == NV * kWidth;
  const bool fits_int = whole.is_last && results_fit_int<NV>(whole);
  const auto start = [&](VI(&acc)[MR][NV]) __attribute__((always_inline)) {
    RL_UNROLL
    for (int j = 0; j < NV; ++j) {
      const VI first = load_i(reinterpret_cast<const int32_t*>(whole.panel) + j * kWidth);
      RL_UNROLL
      for (int i = 0; i < MR; ++i) acc[i][j] = first;
    }
  };
  const auto finish = [=](const GemmTile& tile, const VI(&acc)[MR][NV]) __attribute__((always_inline)) {
    if (is_full) {
      finish_u8s8<true>(tile, reinterpret_cast<Dst*>(tile.dst), fits_int, acc);
    } else {
      finish_u8s8<false>(tile, reinterpret_cast<Dst*>(tile.dst), fits_int, acc);
    }
  };
  run_chunk<Step, Dst, MR, NV>(whole, start, finish);
}

}  // namespace
}  // namespace rushlight
