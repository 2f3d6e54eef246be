#pragma once

#include "kernels/gemm/driver.h"
#include "kernels/winograd/winograd.h"

namespace rushlight {

void pack_winograd(const GemmFormat& format, const WinogradParams& params, const float* src, std::byte* dst);

}  // namespace rushlight
