#include "kernels/gemm/matrix_tile.h"
#include "kernels/gemm/step_vnni.h"
#include "kernels/gemm/tables.h"

namespace rushlight {

namespace {

constexpr int kLowRows = 4;  // the highest tile of vectors

// Few rows as in the kernels of AVX-512: the tile registers would load all weights for a fraction of their rows.
template <class Dst>
constexpr GemmKernel tile_kernel() {
  using Low = TileU8S8<StepU8x4, Dst>;
  constexpr GemmVariant half = {kTileRows, tile_matrix<Dst, 1>}, whole = {2 * kTileRows, tile_matrix<Dst, 2>};
  return {GemmStep::u8x64,
          4,
          1,
          sizeof(Dst),
          {{variant<Low, 1, 1>, variant<Low, 2, 1>, variant<Low, kLowRows, 1>, half, whole},
           {variant<Low, 1, 2>, variant<Low, 2, 2>, variant<Low, kLowRows, 2>, half, whole},
           {variant<Low, 1, 3>, variant<Low, 2, 3>, variant<Low, kLowRows, 3>, half, whole},
           {variant<Low, 1, 4>, variant<Low, 2, 4>, variant<Low, kLowRows, 4>, half, whole}}};
}

void run_by_tiles(const GemmKernel& kernel, const Call& call, int64_t begin, int64_t end) {
  const GemmParams& p = *static_cast<const GemmParams*>(call.params);
  if (p.images * p.oh * p.ow <= kLowRows) return run_gemm(kernel, call, begin, end);
  configure_tiles(tile_config(gemm_tap_steps({kernel.step, kernel.granules}, p) % kTileSteps));
  run_gemm(kernel, call, begin, end);
  release_tiles();  // registers in use make every switch of threads slower
}

}  // namespace

void gemm_u8s8u8_32x64_amxint8(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = tile_kernel<uint8_t>();
  run_by_tiles(kernel, call, begin, end);
}

void gemm_u8s8f32_32x64_amxint8(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = tile_kernel<float>();
  run_by_tiles(kernel, call, begin, end);
}

}  // namespace rushlight
