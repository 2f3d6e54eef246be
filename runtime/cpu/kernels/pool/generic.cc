#include "kernels/pool/generic.h"

namespace rushlight {
namespace {

struct MaxU8 {
  using Element = uint8_t;
  using Sum = VI;
  static constexpr int kLanes = kWidth;
  static RL_INLINE Sum start() { return set_i(0); }
  static RL_INLINE Sum add(Sum m, const uint8_t* p) { return max_i(m, load_u8(p)); }
  static RL_INLINE Sum add_n(Sum m, const uint8_t* p, int n) { return max_i(m, load_u8_n(p, n)); }
  static RL_INLINE void finish(const PoolParams&, const Window&, uint8_t* dst, Sum m) { store_u8(dst, m); }
  static RL_INLINE void finish_n(const PoolParams&, const Window&, uint8_t* dst, Sum m, int n) {
    store_u8_n(dst, m, n);
  }
};

}  // namespace

void max_pool_f32_1x64_generic(const Call& call, int64_t begin, int64_t end) { pool<MaxF32>(call, begin, end); }
void max_pool_u8_1x64_generic(const Call& call, int64_t begin, int64_t end) { pool<MaxU8>(call, begin, end); }
void avg_pool_f32_1x64_generic(const Call& call, int64_t begin, int64_t end) { pool<AvgF32>(call, begin, end); }
void avg_pool_u8_1x64_generic(const Call& call, int64_t begin, int64_t end) { pool<AvgU8>(call, begin, end); }

}  // namespace rushlight
