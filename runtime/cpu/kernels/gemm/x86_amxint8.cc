#include "kernels/gemm/matrix_tile.h"
#include "kernels/gemm/step_vnni.h"
#include "kernels/gemm/tables.h"

namespace rushlight {

namespace {

constexpr int kLowRows = 4;  // the highest tile of vectors

// Few rows as in the kernels of AVX-512: the tile registers would load all weights for a fraction of their rows.
template <class Dst>
struct TileMatrix {
  template <int MR, int NV>
  static constexpr GemmTileFn run_of() {
    if constexpr (MR > kLowRows) {
      return tile_matrix<Dst, MR / kTileRows>;
    } else {
      return tile_u8s8<StepU8x4, Dst, MR, NV>;
    }
  }
  template <int MR, int NV>
  static constexpr GemmTileFn run = run_of<MR, NV>();
};

template <class Dst>
constexpr GemmKernel tile_kernel(const GemmTiles& tiles) {
  return kernel_of<TileMatrix<Dst>, Dst, kMatrixHeights, 1, 2, 3, 4>(GemmStep::u8x64, tiles);
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
  static constexpr GemmKernel kernel = tile_kernel<uint8_t>(tiles_gemm_u8s8u8_32x64_amxint8);
  run_by_tiles(kernel, call, begin, end);
}

void gemm_u8s8f32_32x64_amxint8(const Call& call, int64_t begin, int64_t end) {
  static constexpr GemmKernel kernel = tile_kernel<float>(tiles_gemm_u8s8f32_32x64_amxint8);
  run_by_tiles(kernel, call, begin, end);
}

}  // namespace rushlight
