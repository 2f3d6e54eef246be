// The last step of group_norm, of the family kernels/norm of the CPU: the elements of x, from the means and factors of
// their groups. Grid: any number of blocks of 256 threads.
#include "elementwise.cuh"

struct NormGroupsParams {
  const float* x;
  const float* weight;
  const float* bias;
  float* out;
  const float* means;    // [outer, groups]
  const float* factors;  // [outer, groups]
  int64_t elements;
  int64_t spatial;
  int64_t groups;
  int64_t n;
};

namespace {

struct alignas(16) Quad {
  float lane[4];
};

// Elements [first, first + Width), all of one pixel.
template <int Width, class Values>
DEVICE void normalize(const NormGroupsParams& p, int64_t first, Values& v) {
  const int channels = static_cast<int>(p.groups * p.n), n = static_cast<int>(p.n);
  const int64_t pixel = first / channels;
  const int channel = static_cast<int>(first - pixel * channels);
  const int64_t group = pixel / p.spatial * p.groups;
#pragma unroll
  for (int k = 0; k < Width; ++k) {
    const int c = channel + k;
    const int64_t at = group + c / n;
    const float factor = p.weight ? p.factors[at] * p.weight[c] : p.factors[at];
    v.lane[k] = multiply_add(v.lane[k] - p.means[at], factor, p.bias ? p.bias[c] : 0.0f);
  }
}

}  // namespace

KERNEL(norm_groups, kElementThreads, 1, NormGroupsParams) {
  const bool aligned = (reinterpret_cast<uintptr_t>(p.x) | reinterpret_cast<uintptr_t>(p.out)) % 16 == 0;
  if (aligned && p.groups * p.n % 4 == 0) {
    for_each_element(p.elements / 4, [&](int64_t i) {
      Quad v = reinterpret_cast<const Quad*>(p.x)[i];
      normalize<4>(p, i * 4, v);
      reinterpret_cast<Quad*>(p.out)[i] = v;
    });
  } else {
    struct Single {
      float lane[1];
    };
    for_each_element(p.elements, [&](int64_t i) {
      Single v{{p.x[i]}};
      normalize<1>(p, i, v);
      p.out[i] = v.lane[0];
    });
  }
}
