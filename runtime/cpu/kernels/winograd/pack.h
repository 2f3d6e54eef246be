#pragma once

#include "kernels/winograd/winograd.h"

namespace rushlight {

void pack_winograd(int64_t nr, const WinogradParams& params, const float* src, float* dst);

}  // namespace rushlight
