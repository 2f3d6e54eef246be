// Activations of finished rows, for ISA files only.
#pragma once

#include "kernels/vec/activation.h"

namespace rushlight {
namespace {

void activate(Activation kind, float alpha, float beta, float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(x + i, apply_activation(load(x + i), kind, alpha, beta));
  const int rest = int(n - i);
  if (rest > 0) store_n(x + i, apply_activation(load_n(x + i, rest), kind, alpha, beta), rest);
}

}  // namespace
}  // namespace rushlight
