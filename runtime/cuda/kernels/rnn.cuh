// Recurrences, of the family kernels/rnn of the CPU: what the kernels that go through time share. A warp makes eight
// hidden units of some rows of the batch, its lanes the gates: lane 8 g + u has gate g of unit u. Chosen when compiled:
//   GATES    4: LSTM, 3: GRU
//   WEIGHT   32: float32, 8: int8, for which the state is rounded to 16 bits
//   ROWS     1, or 4: of the batch, of a warp
// Packed weights are [depth / kDepth][GATES][pitch][kDepth], 16 bytes a unit; the depth is padded with what changes no
// sum (0, or -0 as float: the state's padding is +0), the units up to the pitch, a multiple of 16.
#pragma once
#include "device.cuh"
#include "kernels/rnn/gates.h"
#include "kernels/rnn/rnn.h"

using namespace rushlight;

struct RnnCall {
  const float* x;  // the inputs' products, from time x_time on
  const void* weight;
  const float* scale;
  const float* bias;
  const float* h;  // the states before step `first`
  const float* c;
  float* y;
  float* hn;
  float* cn;
  void* states;  // rnn_start, rnn_step: as many bytes as States of all rows takes
  int64_t x_time;
  int64_t first;  // steps from `first` up to `last`
  int64_t last;
  int64_t phase;  // rnn_step: a Phase
  RnnParams p;
};

// What a warp makes of a step: everything, or, where a GRU's last gate multiplies r * h, first r and z, then the rest.
enum Phase { kWhole, kResetAndUpdate, kNew };

namespace {

constexpr bool kIsLstm = GATES == 4, kIsInteger = WEIGHT == 8;
constexpr int kUnits = 8, kDepth = 128 / WEIGHT;
constexpr int kVectorsAtOnce = ROWS == 1 ? 4 : WEIGHT == 8 ? 1 : 2;  // of weights, on their way

}  // namespace

// Numbers of the state, as products take them.
#if WEIGHT == 8
using StateNumber = int16_t;
#else
using StateNumber = float;
#endif

DEVICE int64_t pitch_of(const RnnCall& p) { return (p.p.hidden + 15) / 16 * 16; }

// The states of some rows while time passes, each row `pitch` numbers. h and input are those before a step and after
// it, by turns.
struct States {
  float* memory;
  int64_t pitch;
  int64_t numbers;

  DEVICE States(void* at, int64_t rows, int64_t row_pitch)
      : memory(static_cast<float*>(at)), pitch(row_pitch), numbers(rows * row_pitch) {}

  DEVICE float* h(int turn) const { return memory + turn * numbers; }
  // GRU
  DEVICE float* z() const { return memory + 2 * numbers; }
  // GRU: r * h, as products take it
  DEVICE StateNumber* reset() const { return after_floats(); }
  // What products take: h, or h rounded
  DEVICE StateNumber* input(int turn) const {
#if WEIGHT == 8
    return after_floats() + (turn + (kIsLstm ? 0 : 1)) * numbers;
#else
    return h(turn);
#endif
  }

 private:
  DEVICE StateNumber* after_floats() const {
    return reinterpret_cast<StateNumber*>(memory + (kIsLstm ? 2 : 3) * numbers);
  }
};

DEVICE StateNumber encode(float h, float levels) {
#if WEIGHT == 8
  const V high = set(levels), low = set(-levels);
  return static_cast<StateNumber>(round_int(min(max(set(h) * high, low), high)).lane);  // a NaN is low
#else
  return h;
#endif
}

// Makes element `unit` of a row's states, which is padding beyond the hidden units. `at`: of the row in `states`.
DEVICE void start_state(const RnnCall& p, const States& states, int64_t at, int64_t row, int64_t unit) {
  float h = 0.0f;
  if (unit < p.p.hidden) {
    const int64_t place = row * p.p.hidden + unit;
    h = p.h[place];
    p.hn[place] = h;  // where there are no steps
    if (kIsLstm) p.cn[place] = p.c[place];
  }
  at = at * states.pitch + unit;
  states.h(0)[at] = h;
  states.h(1)[at] = 0.0f;
  states.input(0)[at] = encode(h, p.p.levels);
#if WEIGHT == 8
  states.input(1)[at] = 0;
#endif
  if (!kIsLstm) states.reset()[at] = 0;
}

// sums[r] += state[r] * the weights of a gate of a unit.
DEVICE void add_products(const RnnCall& p, int gate, int64_t unit, const StateNumber* const (&state)[ROWS],
                         float (&sums)[ROWS]) {
  const int64_t pitch = pitch_of(p);
  const Vector16* weight = static_cast<const Vector16*>(p.weight) + gate * pitch + unit;
  const Vector16* vectors[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) vectors[r] = reinterpret_cast<const Vector16*>(state[r]);
  const int64_t steps = (p.p.hidden + kDepth - 1) / kDepth;
#if WEIGHT == 8
  int exact[ROWS] = {};
#endif
#pragma unroll kVectorsAtOnce
  for (int64_t k = 0; k < steps; ++k, weight += GATES * pitch) {
    const Vector16 w = *weight;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
#if WEIGHT == 8
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Vector16 v = vectors[r][2 * k + half];
        exact[r] = multiply_words(v.word[0], v.word[1], w.word[2 * half], exact[r]);
        exact[r] = multiply_words(v.word[2], v.word[3], w.word[2 * half + 1], exact[r]);
      }
#else
      const Vector16 v = vectors[r][k];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float h = float_from_bits(static_cast<int32_t>(v.word[i]));
        sums[r] = multiply_add(h, float_from_bits(static_cast<int32_t>(w.word[i])), sums[r]);
      }
#endif
    }
  }
#if WEIGHT == 8
  const float scale = unit < p.p.hidden ? p.scale[gate * p.p.hidden + unit] : 0.0f;
#pragma unroll
  for (int r = 0; r < ROWS; ++r) sums[r] = multiply_add(static_cast<float>(exact[r]), scale, sums[r]);
#endif
}

// A warp's part of a step: kUnits hidden units from `first_unit` on, of `count` rows, at most ROWS, from `row` on,
// whose states begin with that of number `at`. `turn`: of the states before the step.
template <Phase Of>
DEVICE void advance(const RnnCall& p, const States& states, int64_t step, int turn, int64_t row, int count, int64_t at,
                    int64_t first_unit) {
  constexpr int kFirst = Of == kNew ? 2 : 0, kLast = Of == kResetAndUpdate ? 1 : GATES - 1;
  const int lane = static_cast<int>(threadIdx.x) % 32, part = lane / kUnits;
  const int gate = part + kFirst < kLast ? part + kFirst : kLast;
  const int64_t hidden = p.p.hidden, unit = first_unit + lane % kUnits;
  const bool is_unit = unit < hidden;
  const int64_t time = p.p.is_reverse ? p.p.steps - 1 - step : step;
  const float* const x = p.x + (time - p.x_time) * p.p.x_step + row * p.p.x_row;
  float sums[ROWS];
  const StateNumber* state[ROWS];
#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int own = r < count ? r : 0;
    state[r] = (Of == kNew ? states.reset() : states.input(turn)) + (at + own) * states.pitch;
    sums[r] = 0.0f;
    if (is_unit) {
      if (kIsLstm || gate < 2) {
        sums[r] = x[own * p.p.x_row + gate * hidden + unit];
      } else if (p.bias != nullptr) {
        sums[r] = p.bias[unit];
      }
    }
  }
  // What each part of the warp needs to finish a row.
  const bool is_own = part < count && is_unit;
  const int64_t place = (row + part) * hidden + unit, state_place = (at + part) * states.pitch + unit;
  float before = 0.0f, x_new = 0.0f;
  if (is_own) {
    before = kIsLstm ? p.cn[place] : states.h(turn)[state_place];
    if (!kIsLstm && Of != kResetAndUpdate) x_new = x[part * p.p.x_row + 2 * hidden + unit];
  }
  add_products(p, gate, unit, state, sums);
  V own[GATES];
#pragma unroll
  for (int g = kFirst; g <= kLast; ++g) {
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      const float sum = shuffle(sums[r], (g - kFirst) * kUnits + lane % kUnits);
      if (r == 0 || r == part) own[g] = set(sum);
    }
  }
  if (!is_own) return;
  const auto finish = [&](V h) {
    p.y[time * p.p.y_step + (row + part) * p.p.y_row + unit] = h.lane;
    states.h(1 - turn)[state_place] = h.lane;
#if WEIGHT == 8
    states.input(1 - turn)[state_place] = encode(h.lane, p.p.levels);
#endif
    if (step == p.last - 1) p.hn[place] = h.lane;
  };
#if GATES == 4
  const LstmState after = lstm_state(own[0], own[1], own[2], own[3], set(before));
  p.cn[place] = after.c.lane;
  finish(after.h);
#else
  if constexpr (Of == kResetAndUpdate) {
    const V reset = value(sigmoid_fraction(own[0]));
    states.reset()[state_place] = encode((reset * set(before)).lane, p.p.levels);
    states.z()[state_place] = value(sigmoid_fraction(own[1])).lane;
  } else if constexpr (Of == kNew) {
    finish(gru_state(set(states.z()[state_place]), set(x_new) + own[2], set(before)));
  } else {
    const V inner = fma(value(sigmoid_fraction(own[0])), own[2], set(x_new));
    finish(gru_state(value(sigmoid_fraction(own[1])), inner, set(before)));
  }
#endif
}
