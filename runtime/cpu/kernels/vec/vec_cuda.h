// Included by vec.h: one lane a thread of a GPU, on what runtime/cuda/kernels/device.cuh offers. Only what elementary
// functions need: rows are walked by the CUDA kernels themselves.
#pragma once

namespace rushlight {
namespace {

constexpr int kWidth = 1;

struct V {
  float lane;
};
struct VI {
  int32_t lane;
};
struct M {
  bool lane;
};

RL_INLINE V set(float x) { return {x}; }
RL_INLINE VI set_i(int32_t x) { return {x}; }
RL_INLINE V load(const float* p) { return {*p}; }
RL_INLINE VI load_i(const int32_t* p) { return {*p}; }
RL_INLINE void store(float* p, V a) { *p = a.lane; }

RL_INLINE V operator+(V a, V b) { return {a.lane + b.lane}; }
RL_INLINE V operator-(V a, V b) { return {a.lane - b.lane}; }
RL_INLINE V operator*(V a, V b) { return {a.lane * b.lane}; }
RL_INLINE V operator/(V a, V b) { return {a.lane / b.lane}; }
RL_INLINE V fma(V a, V b, V c) { return {multiply_add(a.lane, b.lane, c.lane)}; }
RL_INLINE V fnma(V a, V b, V c) { return {multiply_add(-a.lane, b.lane, c.lane)}; }
// What is chosen by comparison might be a denormal.
RL_INLINE V max(V a, V b) { return {flush(a.lane > b.lane ? a.lane : b.lane)}; }
RL_INLINE V min(V a, V b) { return {flush(a.lane < b.lane ? a.lane : b.lane)}; }
RL_INLINE V sqrt(V a) { return {square_root(a.lane)}; }
RL_INLINE V round(V a) { return {round_to_even(a.lane)}; }
RL_INLINE V floor(V a) { return {round_down(a.lane)}; }
RL_INLINE V ceil(V a) { return {round_up(a.lane)}; }
RL_INLINE V trunc(V a) { return {round_to_zero(a.lane)}; }

RL_INLINE V to_float(VI a) { return {static_cast<float>(a.lane)}; }
RL_INLINE VI round_int(V a) {
  const bool fits = a.lane >= -0x1p31f && a.lane < 0x1p31f;
  return {fits ? round_to_int(a.lane) : INT32_MIN};
}
RL_INLINE VI truncate_int(V a) {
  const bool fits = a.lane >= -0x1p31f && a.lane < 0x1p31f;
  return {fits ? static_cast<int32_t>(a.lane) : INT32_MIN};
}
RL_INLINE VI bits(V a) { return {float_bits(a.lane)}; }
RL_INLINE V from_bits(VI a) { return {float_from_bits(a.lane)}; }

// Unsigned arithmetic wraps.
RL_INLINE VI operator+(VI a, VI b) { return {int32_t(uint32_t(a.lane) + uint32_t(b.lane))}; }
RL_INLINE VI operator-(VI a, VI b) { return {int32_t(uint32_t(a.lane) - uint32_t(b.lane))}; }
RL_INLINE VI operator*(VI a, VI b) { return {int32_t(uint32_t(a.lane) * uint32_t(b.lane))}; }
RL_INLINE VI operator&(VI a, VI b) { return {a.lane & b.lane}; }
RL_INLINE VI operator|(VI a, VI b) { return {a.lane | b.lane}; }
RL_INLINE VI operator^(VI a, VI b) { return {a.lane ^ b.lane}; }
template <int K>
RL_INLINE VI shift_left(VI a) {
  return {int32_t(uint32_t(a.lane) << K)};
}
template <int K>
RL_INLINE VI shift_right(VI a) {  // arithmetic
  return {a.lane >> K};
}
RL_INLINE VI max_i(VI a, VI b) { return {a.lane > b.lane ? a.lane : b.lane}; }
RL_INLINE VI min_i(VI a, VI b) { return {a.lane < b.lane ? a.lane : b.lane}; }

RL_INLINE M eq(V a, V b) { return {a.lane == b.lane}; }
RL_INLINE M lt(V a, V b) { return {a.lane < b.lane}; }
RL_INLINE M le(V a, V b) { return {a.lane <= b.lane}; }
RL_INLINE M eq_i(VI a, VI b) { return {a.lane == b.lane}; }
RL_INLINE M lt_i(VI a, VI b) { return {a.lane < b.lane}; }
RL_INLINE M operator&(M a, M b) { return {a.lane && b.lane}; }
RL_INLINE M operator|(M a, M b) { return {a.lane || b.lane}; }
RL_INLINE M operator!(M a) { return {!a.lane}; }
RL_INLINE bool any(M a) { return a.lane; }
RL_INLINE V select(M m, V a, V b) { return m.lane ? a : b; }
RL_INLINE VI select_i(M m, VI a, VI b) { return m.lane ? a : b; }

RL_INLINE float first(V a) { return a.lane; }

}  // namespace
}  // namespace rushlight
