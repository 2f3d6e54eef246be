// Included by vec.h: baseline x86-64 or ARMv8, plain loops.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#else
#include <arm_neon.h>
#endif

#include "kernels/vec/half.h"

namespace rushlight {
namespace {

constexpr int kWidth = 16;

struct V {
  float lane[kWidth];
};
struct VI {
  int32_t lane[kWidth];
};
struct M {
  int32_t lane[kWidth];  // 0 or -1
};

template <class R, class Fn>
RL_INLINE R each_lane(Fn fn) {
  R r;
  for (int i = 0; i < kWidth; ++i) r.lane[i] = fn(i);
  return r;
}

RL_INLINE V set(float x) {
  return each_lane<V>([=](int) { return x; });
}
RL_INLINE VI set_i(int32_t x) {
  return each_lane<VI>([=](int) { return x; });
}

RL_INLINE V load(const float* p) {
  return each_lane<V>([=](int i) { return p[i]; });
}
RL_INLINE V load_n(const float* p, int n) {
  return each_lane<V>([=](int i) { return i < n ? p[i] : 0.0f; });
}
RL_INLINE VI load_i(const int32_t* p) {
  return each_lane<VI>([=](int i) { return p[i]; });
}
RL_INLINE VI load_i_n(const int32_t* p, int n) {
  return each_lane<VI>([=](int i) { return i < n ? p[i] : 0; });
}
RL_INLINE VI load_u8(const uint8_t* p) {
  return each_lane<VI>([=](int i) { return int32_t(p[i]); });
}
RL_INLINE VI load_u8_n(const uint8_t* p, int n) {
  return each_lane<VI>([=](int i) { return i < n ? int32_t(p[i]) : 0; });
}
RL_INLINE VI load_s8(const int8_t* p) {
  return each_lane<VI>([=](int i) { return int32_t(p[i]); });
}
RL_INLINE VI load_s8_n(const int8_t* p, int n) {
  return each_lane<VI>([=](int i) { return i < n ? int32_t(p[i]) : 0; });
}

RL_INLINE void store_n(float* p, V a, int n) {
  for (int i = 0; i < n; ++i) p[i] = a.lane[i];
}
RL_INLINE V load_f16(const uint16_t* p) {
  return each_lane<V>([=](int i) { return widen_f16(p[i]); });
}
RL_INLINE V load_bf16(const uint16_t* p) {
  return each_lane<V>([=](int i) { return widen_bf16(p[i]); });
}

RL_INLINE void store(float* p, V a) { store_n(p, a, kWidth); }
RL_INLINE void store_i_n(int32_t* p, VI a, int n) {
  for (int i = 0; i < n; ++i) p[i] = a.lane[i];
}
RL_INLINE void store_i(int32_t* p, VI a) { store_i_n(p, a, kWidth); }
RL_INLINE void store_u8_n(uint8_t* p, VI a, int n) {
  for (int i = 0; i < n; ++i) p[i] = uint8_t(a.lane[i] < 0 ? 0 : a.lane[i] > 255 ? 255 : a.lane[i]);
}
RL_INLINE void store_u8(uint8_t* p, VI a) { store_u8_n(p, a, kWidth); }
RL_INLINE void store_s8_n(int8_t* p, VI a, int n) {
  for (int i = 0; i < n; ++i) p[i] = int8_t(a.lane[i] < -128 ? -128 : a.lane[i] > 127 ? 127 : a.lane[i]);
}
RL_INLINE void store_s8(int8_t* p, VI a) { store_s8_n(p, a, kWidth); }
template <int N>
RL_INLINE void store_low_bytes(uint8_t* p, VI a) {
  for (int i = 0; i < kWidth; ++i)
    for (int k = 0; k < N; ++k) p[i * N + k] = uint8_t(uint32_t(a.lane[i]) >> 8 * k);
}

RL_INLINE V in_register(V a) { return a; }

RL_INLINE V operator+(V a, V b) {
  return each_lane<V>([&](int i) { return a.lane[i] + b.lane[i]; });
}
RL_INLINE V operator-(V a, V b) {
  return each_lane<V>([&](int i) { return a.lane[i] - b.lane[i]; });
}
RL_INLINE V operator*(V a, V b) {
  return each_lane<V>([&](int i) { return a.lane[i] * b.lane[i]; });
}
RL_INLINE V operator/(V a, V b) {
  return each_lane<V>([&](int i) { return a.lane[i] / b.lane[i]; });
}
RL_INLINE V fma(V a, V b, V c) {
  return each_lane<V>([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
RL_INLINE V fnma(V a, V b, V c) {
  return each_lane<V>([&](int i) { return __builtin_fmaf(-a.lane[i], b.lane[i], c.lane[i]); });
}
// By instruction, since what a compiler makes of a > b ? a : b may let a denormal through.
#if defined(__x86_64__)
RL_INLINE V max(V a, V b) {
  V r;
  for (int i = 0; i < kWidth; i += 4)
    _mm_storeu_ps(r.lane + i, _mm_max_ps(_mm_loadu_ps(a.lane + i), _mm_loadu_ps(b.lane + i)));
  return r;
}
RL_INLINE V min(V a, V b) {
  V r;
  for (int i = 0; i < kWidth; i += 4)
    _mm_storeu_ps(r.lane + i, _mm_min_ps(_mm_loadu_ps(a.lane + i), _mm_loadu_ps(b.lane + i)));
  return r;
}
#else
// FMAX of a value and itself.
RL_INLINE V flushed(V a) {
  for (int i = 0; i < kWidth; i += 4) {
    float32x4_t r = vld1q_f32(a.lane + i);
    asm("fmax %0.4s, %0.4s, %0.4s" : "+w"(r));
    vst1q_f32(a.lane + i, r);
  }
  return a;
}
RL_INLINE V max(V a, V b) {
  return flushed(each_lane<V>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; }));
}
RL_INLINE V min(V a, V b) {
  return flushed(each_lane<V>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; }));
}
#endif
RL_INLINE V sqrt(V a) {
  return each_lane<V>([&](int i) { return __builtin_sqrtf(a.lane[i]); });
}
RL_INLINE V round(V a) {
  return each_lane<V>([&](int i) { return __builtin_rintf(a.lane[i]); });
}
RL_INLINE V floor(V a) {
  return each_lane<V>([&](int i) { return __builtin_floorf(a.lane[i]); });
}
RL_INLINE V ceil(V a) {
  return each_lane<V>([&](int i) { return __builtin_ceilf(a.lane[i]); });
}
RL_INLINE V trunc(V a) {
  return each_lane<V>([&](int i) { return __builtin_truncf(a.lane[i]); });
}

RL_INLINE V to_float(VI a) {
  return each_lane<V>([&](int i) { return float(a.lane[i]); });
}
RL_INLINE int32_t int_or_min(float x) { return x >= -0x1p31f && x < 0x1p31f ? int32_t(x) : INT32_MIN; }
RL_INLINE VI round_int(V a) {
  return each_lane<VI>([&](int i) { return int_or_min(__builtin_rintf(a.lane[i])); });
}
RL_INLINE VI truncate_int(V a) {
  return each_lane<VI>([&](int i) { return int_or_min(a.lane[i]); });
}
RL_INLINE VI bits(V a) {
  VI r;
  __builtin_memcpy(&r, &a, sizeof r);
  return r;
}
RL_INLINE V from_bits(VI a) {
  V r;
  __builtin_memcpy(&r, &a, sizeof r);
  return r;
}

// Unsigned arithmetic wraps, as the vector instructions do.
RL_INLINE VI operator+(VI a, VI b) {
  return each_lane<VI>([&](int i) { return int32_t(uint32_t(a.lane[i]) + uint32_t(b.lane[i])); });
}
RL_INLINE VI operator-(VI a, VI b) {
  return each_lane<VI>([&](int i) { return int32_t(uint32_t(a.lane[i]) - uint32_t(b.lane[i])); });
}
RL_INLINE VI operator*(VI a, VI b) {
  return each_lane<VI>([&](int i) { return int32_t(uint32_t(a.lane[i]) * uint32_t(b.lane[i])); });
}
RL_INLINE VI operator&(VI a, VI b) {
  return each_lane<VI>([&](int i) { return a.lane[i] & b.lane[i]; });
}
RL_INLINE VI operator|(VI a, VI b) {
  return each_lane<VI>([&](int i) { return a.lane[i] | b.lane[i]; });
}
RL_INLINE VI operator^(VI a, VI b) {
  return each_lane<VI>([&](int i) { return a.lane[i] ^ b.lane[i]; });
}
template <int K>
RL_INLINE VI shift_left(VI a) {
  return each_lane<VI>([&](int i) { return int32_t(uint32_t(a.lane[i]) << K); });
}
template <int K>
RL_INLINE VI shift_right(VI a) {  // arithmetic
  return each_lane<VI>([&](int i) { return a.lane[i] >> K; });
}
RL_INLINE VI max_i(VI a, VI b) {
  return each_lane<VI>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
RL_INLINE VI min_i(VI a, VI b) {
  return each_lane<VI>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}

RL_INLINE M eq(V a, V b) {
  return each_lane<M>([&](int i) { return -int32_t(a.lane[i] == b.lane[i]); });
}
RL_INLINE M lt(V a, V b) {
  return each_lane<M>([&](int i) { return -int32_t(a.lane[i] < b.lane[i]); });
}
RL_INLINE M le(V a, V b) {
  return each_lane<M>([&](int i) { return -int32_t(a.lane[i] <= b.lane[i]); });
}
RL_INLINE M eq_i(VI a, VI b) {
  return each_lane<M>([&](int i) { return -int32_t(a.lane[i] == b.lane[i]); });
}
RL_INLINE M lt_i(VI a, VI b) {
  return each_lane<M>([&](int i) { return -int32_t(a.lane[i] < b.lane[i]); });
}
RL_INLINE M operator&(M a, M b) {
  return each_lane<M>([&](int i) { return a.lane[i] & b.lane[i]; });
}
RL_INLINE M operator|(M a, M b) {
  return each_lane<M>([&](int i) { return a.lane[i] | b.lane[i]; });
}
RL_INLINE M operator!(M a) {
  return each_lane<M>([&](int i) { return ~a.lane[i]; });
}
RL_INLINE M first_lanes(int n) {
  return each_lane<M>([=](int i) { return -int32_t(i < n); });
}
RL_INLINE bool any(M a) {
  int32_t r = 0;
  for (int i = 0; i < kWidth; ++i) r |= a.lane[i];
  return r != 0;
}
RL_INLINE uint32_t lane_bits(M a) {
  uint32_t r = 0;
  for (int i = 0; i < kWidth; ++i) r |= uint32_t(a.lane[i] & 1) << i;
  return r;
}
RL_INLINE V select(M m, V a, V b) {
  return each_lane<V>([&](int i) { return m.lane[i] ? a.lane[i] : b.lane[i]; });
}
RL_INLINE VI select_i(M m, VI a, VI b) {
  return each_lane<VI>([&](int i) { return m.lane[i] ? a.lane[i] : b.lane[i]; });
}
RL_INLINE M load_mask_n(const uint8_t* p, int n) {
  return each_lane<M>([=](int i) { return -int32_t(i < n && p[i] != 0); });
}
RL_INLINE M load_mask(const uint8_t* p) { return load_mask_n(p, kWidth); }
RL_INLINE void store_mask_n(uint8_t* p, M m, int n) {
  for (int i = 0; i < n; ++i) p[i] = uint8_t(m.lane[i] & 1);
}
RL_INLINE void store_mask(uint8_t* p, M m) { store_mask_n(p, m, kWidth); }

RL_INLINE float first(V a) { return a.lane[0]; }
template <int K>
RL_INLINE V down(V a) {
  return each_lane<V>([&](int i) { return a.lane[i < K ? i + K : i]; });
}

}  // namespace
}  // namespace rushlight
