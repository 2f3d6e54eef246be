// Normalizations of float32, in two passes: mean first, then the mean of squared differences. Sums are canonical.
//
//   layer_norm  x: [outer, n]. mean = sum(x) / n, r = 1 / sqrt(sum((x - mean)^2) / n + eps) a row,
//               out = (x - mean) * r, then * weight[n] + bias[n] in one fma; each may be absent
//   rms_norm    the same with mean 0, without bias
//   group_norm  x: [outer, spatial, groups * n], channels last. A group's sum is that of its n channels' sums over
//               `spatial`, each canonical; out = (x - mean) * (r * weight[c]) + bias[c]
//
// layer_norm and rms_norm ignore spatial and groups (give 1). Any alignment; out may be x, else nothing overlaps.
#pragma once

#include <cstdint>

namespace rushlight {

struct NormParams {
  int64_t outer, spatial, groups, n;
  float eps;
};

// Groups of channels that one task of group_norm takes.
static inline int64_t groups_a_task(const NormParams& p) { return p.n >= 64 || p.n == 0 ? 1 : 64 / p.n; }

}  // namespace rushlight
