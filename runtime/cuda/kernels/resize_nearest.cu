// The nearest pixels, of the family kernels/resize of the CPU: WIDTH neighbouring bytes of a pixel a thread. Grid: any
// number of blocks of 256 threads.
#include "elementwise.cuh"
#include "resize.cuh"

namespace {

struct alignas(WIDTH) Bytes {
  uint8_t of[WIDTH];
};

}  // namespace

KERNEL(resize_nearest, kElementThreads, 1, ResizeCall) {
  const ResizeParams& q = p.p;
  const int64_t vectors = q.c / WIDTH;
  for_each_element(q.images * q.oh * q.ow * vectors, [&](int64_t i) {
    const int64_t pixel = i / vectors, byte = (i - pixel * vectors) * WIDTH;
    const int64_t row = pixel / q.ow, image = row / q.oh;
    const int64_t from = (image * q.ih + p.rows[row - image * q.oh]) * q.iw + p.columns[pixel - row * q.ow];
    *reinterpret_cast<Bytes*>(p.dst + pixel * q.c + byte) = *reinterpret_cast<const Bytes*>(p.src + from * q.c + byte);
  });
}
