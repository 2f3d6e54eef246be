#pragma once

#include <cstdint>

namespace rushlight {

// Whether CPU and operating system have AMX-INT8 and let this process use it. Asks Linux for the tile registers' state.
bool request_amx_int8();

// Twelve products of whole tiles a round, six of them independent; needs request_amx_int8().
void multiply_tiles(int64_t rounds);

}  // namespace rushlight
