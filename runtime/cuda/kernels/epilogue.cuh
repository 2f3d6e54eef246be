// From sums to results, as the families gemm and depthwise define it. Integer sums: v = fma(float(sum + offset),
// scale, bias); float sums are v, or sum + bias where they were not started at it. A residual of bytes: v =
// fma(float(residual), residual_scale, v), of floats: v += residual. Then v is limited to [low, high]; a float result
// is curve(v), a byte v rounded half to even. A NaN becomes `low` in bytes and stays NaN in floats. Columns are the
// fastest axis of residual and out.
#pragma once
#include "batch.cuh"
#include "kernels/vec/activation.h"

struct Epilogue {
  const int32_t* offset;  // [matrices of weights, columns]: -zero point of x * sum of the column's weights
  const float* scale;     // [columns]; null for float sums
  const float* bias;      // [columns] or null
  const void* residual;   // of the type of out, or null
  void* out;              // float where `is_float`, else uint8
  int64_t residual_row;   // elements from row to row
  int64_t out_row;
  int32_t columns;
  int32_t is_float;
  int32_t curve;  // of float results, an Activation: none where limits are all of it
  float alpha;
  float beta;
  float residual_scale;
  float low;
  float high;
};

struct alignas(8) Pair {
  float left, right;
};

// A part of a result: where its first element lies and how much there is.
struct Target {
  int64_t out, residual;    // elements
  int64_t offset, channel;  // of the first column, in offset, and in scale and bias
  int rows, columns;
};

// The part that begins at a row and a column of a matrix of the batch.
DEVICE Target find_target(const Epilogue& e, const Batch& batch, int matrix, int row, int rows, int column) {
  Target t;
  t.out = skip(batch, batch.out, matrix) + row * e.out_row + column;
  t.residual = skip(batch, batch.residual, matrix) + row * e.residual_row + column;
  t.offset = skip(batch, batch.weight, matrix) * e.columns + column;
  t.channel = skip(batch, batch.bias, matrix) + column;
  t.rows = rows - row;
  t.columns = e.columns - column;
  return t;
}

// What a column's sums of this type become results by.
template <class Sum>
struct Channel;

template <>
struct Channel<int> {
  int offset;
  float scale, bias;
};

template <>
struct Channel<float> {
  float bias;
};

template <class Sum>
DEVICE Channel<Sum> load_channel(const Epilogue& e, int64_t offset, int64_t channel) {
  const float bias = e.bias != nullptr ? e.bias[channel] : 0.0f;
  if constexpr (__is_same(Sum, int)) {
    return {e.offset[offset], e.scale[channel], bias};
  } else {
    return {bias};
  }
}

DEVICE float scale_sum(int sum, const Channel<int>& channel) {
  return multiply_add(static_cast<float>(sum + channel.offset), channel.scale, channel.bias);
}

DEVICE float scale_sum(float sum, const Channel<float>& channel) { return sum + channel.bias; }

DEVICE const uint8_t* residual_bytes(const Epilogue& e) { return static_cast<const uint8_t*>(e.residual); }
DEVICE const float* residual_floats(const Epilogue& e) { return static_cast<const float*>(e.residual); }

DEVICE float add_byte(const Epilogue& e, uint8_t residual, float v) {
  return multiply_add(static_cast<float>(residual), e.residual_scale, v);
}

DEVICE uint8_t to_byte(const Epilogue& e, float v) {
  return static_cast<uint8_t>(round_to_int(minimum(maximum(v, e.low), e.high)));
}

DEVICE float limit(const Epilogue& e, float v) { return rushlight::clamp({v}, {e.low}, {e.high}).lane; }

DEVICE bool has_curve(const Epilogue& e) { return e.curve != 0; }

DEVICE float apply_curve(const Epilogue& e, float v) {
  return rushlight::apply_activation({v}, static_cast<rushlight::Activation>(e.curve), e.alpha, e.beta).lane;
}
