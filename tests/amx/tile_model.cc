// The model's instructions for tests/test_amx.py, and what the core asks of a CPU with AMX.
#include "amx.h"
#include "kernels/gemm/tile_registers.h"

using namespace rushlight;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char* model_configure(const TileConfig* config) { return tile_model.configure(*config); }
EXPORT const char* model_release() { return tile_model.release(); }
EXPORT const char* model_load(int t, const void* p, int64_t stride) { return tile_model.load(t, p, stride); }
EXPORT const char* model_store(int t, void* p, int64_t stride) { return tile_model.store(t, p, stride); }
EXPORT const char* model_multiply_add(int c, int a, int b) { return tile_model.multiply_add(c, a, b); }

bool rushlight::request_amx_int8() { return true; }

void rushlight::multiply_tiles(int64_t) { end_at_exception("the speed of the model is not that of a CPU"); }
