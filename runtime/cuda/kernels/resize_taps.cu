// Where the rows and columns of an image take their values, of the family kernels/resize of the CPU: TAPS for each, or
// its nearest input (TAPS 1). Grid: any number of blocks of 256 threads.
#include "elementwise.cuh"
#include "resize.cuh"

struct ResizeTapsCall {
  Place* rows;     // [oh]
  Place* columns;  // [ow]
  ResizeParams p;
};

namespace {

template <int K>
DEVICE void find(const ResizeParams& p, const Axis& axis, int64_t o, Taps<K>& place) {
  place = taps_of<K>(p, axis, o);
}
DEVICE void find(const ResizeParams& p, const Axis& axis, int64_t o, int64_t& place) { place = nearest_of(p, axis, o); }

}  // namespace

KERNEL(resize_taps, kElementThreads, 1, ResizeTapsCall) {
  const ResizeParams& q = p.p;
  for_each_element(q.oh + q.ow, [&](int64_t i) {
    if (i < q.oh) {
      find(q, {q.ih, q.oh, q.scale_h}, i, p.rows[i]);
    } else {
      find(q, {q.iw, q.ow, q.scale_w}, i - q.oh, p.columns[i - q.oh]);
    }
  });
}
