// The numbers of the activations that an epilogue can apply, as they stand in Params; the plan knows them by these
// names.
#pragma once

#include <cstdint>

namespace rushlight {

enum class Activation : int64_t {
  none,
  relu,
  clamp,  // to [alpha, beta]
  sigmoid,
  tanh,
  silu,
  gelu,
  gelu_tanh,
  hardsigmoid,
  hardswish,
  leaky_relu,  // alpha: the slope below zero
  elu,         // alpha
  mish,
  softplus,
};

}  // namespace rushlight
