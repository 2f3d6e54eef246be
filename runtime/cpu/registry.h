#pragma once

#include <span>

#include "kernels/kernel.h"

namespace rushlight {

// Every family that is compiled in, in alphabetical order.
std::span<const Family* const> families();

}  // namespace rushlight
