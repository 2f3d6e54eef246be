#include "kernels/pack/pack.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "kernels/gemm/layout.h"
#include "kernels/kernel.h"

namespace rushlight {

namespace {

const PackParams& params_of(const void* params) { return *static_cast<const PackParams*>(params); }

GemmLayout layout_of(const PackParams& p, int64_t nr) {
  return {GemmFormat{GemmStep::f32, nr / kGranule}, p.n, 1, p.k};
}

// Columns [column, column + width) of one matrix, zero where the matrix has none.
void pack_panel(const PackParams& p, const float* src, int64_t column, int64_t width, float* dst) {
  const int64_t inside = std::min(width, p.n - column);
  src += column * p.src_n;
  if (p.src_n == 1) {
    for (int64_t k = 0; k < p.k; ++k, src += p.src_k, dst += width) {
      std::memcpy(dst, src, size_t(inside) * sizeof(float));
      std::fill(dst + inside, dst + width, 0.0f);
    }
    return;
  }
  // Columns lie apart: 16 x 16 blocks keep the lines of both sides in L1.
  for (int64_t k_begin = 0; k_begin < p.k; k_begin += 16) {
    const int64_t k_end = std::min<int64_t>(k_begin + 16, p.k);
    for (int64_t j_begin = 0; j_begin < width; j_begin += 16) {
      for (int64_t k = k_begin; k < k_end; ++k) {
        for (int64_t j = j_begin; j < j_begin + 16; ++j) {
          dst[k * width + j] = j < inside ? src[k * p.src_k + j * p.src_n] : 0.0f;
        }
      }
    }
  }
}

void run(int64_t nr, const Call& call, int64_t begin, int64_t end) {
  const PackParams& p = params_of(call.params);
  const GemmLayout layout = layout_of(p, nr);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / layout.panels();
    const GemmPanel panel = layout.panel(task % layout.panels());
    const float* const src = static_cast<const float*>(call.operand[kPackSrc]) + b / p.batch[1] * p.src_batch[0] +
                             b % p.batch[1] * p.src_batch[1];
    std::byte* const dst = static_cast<std::byte*>(call.operand[kPackDst]) + b * layout.bytes() + panel.offset;
    pack_panel(p, src, panel.column, panel.granules * kGranule, reinterpret_cast<float*>(dst));
  }
}

RL_ON_avx512(void pack_b_f32f32_1x64_avx512(const Call& call, int64_t begin, int64_t end) {
  run(64, call, begin, end);
}) void pack_b_f32f32_1x16_generic(const Call& call, int64_t begin, int64_t end) {
  run(16, call, begin, end);
}

constexpr Field kFields[] = {RL_FIELD(PackParams, 'i', batch), RL_FIELD(PackParams, 'i', n),
                             RL_FIELD(PackParams, 'i', k),     RL_FIELD(PackParams, 'i', src_batch),
                             RL_FIELD(PackParams, 'i', src_k), RL_FIELD(PackParams, 'i', src_n)};

constexpr Operand kOperands[kPackOperands] = {{"src", false}, {"dst", true}};

constexpr Row kRows[] = {
#define ROW(isa, symbol, op, types, mr, nr) RL_ON_##isa({#symbol, op, types, Isa::isa, mr, nr, symbol}, )
#include "kernels/pack/kernels.inc"
#undef ROW
};

int64_t tasks(const Row& row, const void* params) {
  const PackParams& p = params_of(params);
  return p.n == 0 ? 0 : p.batch[0] * p.batch[1] * layout_of(p, row.nr).panels();
}

// Adjacent columns go at some 10 bytes a nanosecond, others an element at a time.
double cost_ns(const Row&, const void* params) {
  const PackParams& p = params_of(params);
  return double(p.batch[0] * p.batch[1] * p.n * p.k) * (p.src_n == 1 ? 0.4 : 1.0);
}

size_t scratch_bytes(const Row&, const void*) { return 0; }

}  // namespace

extern const Family family_pack = {"pack",
                                   kFields,
                                   std::size(kFields),
                                   sizeof(PackParams),
                                   kOperands,
                                   kPackOperands,
                                   kRows,
                                   std::size(kRows),
                                   tasks,
                                   cost_ns,
                                   scratch_bytes,
                                   nullptr,
                                   nullptr};

}  // namespace rushlight
