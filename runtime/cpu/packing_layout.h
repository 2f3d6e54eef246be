// Names what packs weights: packed files are read by a module with the same kernels and lowering rules only.
#pragma once

namespace rushlight {

extern const char* const kPackingLayout;  // SHA-256 of their sources, hexadecimal

}  // namespace rushlight
