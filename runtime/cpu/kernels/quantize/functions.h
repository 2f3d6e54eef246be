// The arithmetic of quantize.h over V, for ISA files and CUDA kernels.
#pragma once

#include "kernels/quantize/quantize.h"
#include "kernels/vec/vec.h"

namespace rushlight {
namespace {

template <class Quantized>
struct quantize {
  using X = float;
  using Out = Quantized;
  using Zero = Quantized;
  RL_INLINE static V apply(V x, V scale, V zero) { return round(x / scale) + zero; }
};
// x / scale by one scale for all, as the division rounds it. Two steps of Newton's method with exact remainders: from
// the reciprocal rounded to nearest, the first gives a neighbour of the quotient, the second then the nearest
// (Markstein, IBM J. Res. Dev. 34, 1990). Quotients are first cut to +-512, beyond which all of them saturate.
class Divisor {
 public:
  Divisor() = default;
  RL_INLINE explicit Divisor(float scale)
      : is_usual_(scale > 0x1p-60f && scale < 0x1p60f),
        scale_(set(scale)),
        reciprocal_(set(1.0f / scale)),
        most_(set(512.0f * scale)),
        least_(set(-512.0f * scale)) {}

  // Whether no step can overflow, or underflow where it matters; else the division itself has to do.
  bool is_usual() const { return is_usual_; }
  RL_INLINE V divide(V x) const {
    x = min(most_, max(least_, x));
    const V near = x * reciprocal_, next = fma(fnma(near, scale_, x), reciprocal_, near);
    return fma(fnma(next, scale_, x), reciprocal_, next);
  }

 private:
  bool is_usual_;
  V scale_, reciprocal_, most_, least_;
};

template <class Quantized>
struct dequantize {
  using X = Quantized;
  using Out = float;
  using Zero = Quantized;
  RL_INLINE static V apply(V x, V scale, V zero) { return (x - zero) * scale; }
};
template <class Quantized>
struct qaffine {
  using X = Quantized;
  using Out = Quantized;
  using Zero = float;
  RL_INLINE static V apply(V x, V scale, V offset) { return fma(x, scale, offset); }
};

}  // namespace
}  // namespace rushlight
