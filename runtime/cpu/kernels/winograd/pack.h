#pragma once

#include "kernels/winograd/layout.h"

namespace rushlight {

void pack_winograd(const WinogradFormat& format, const WinogradParams& params, const void* src, std::byte* dst);

}  // namespace rushlight
