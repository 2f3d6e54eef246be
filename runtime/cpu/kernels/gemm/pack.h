#pragma once

#include <cstddef>

#include "kernels/gemm/layout.h"

namespace rushlight {

// Packs params.weights matrices; see gemm.h for src and layout.h for dst.
void pack_weights(const GemmFormat& format, const GemmParams& params, const void* src, std::byte* dst);

}  // namespace rushlight
