// The nearest pixels, of the family kernels/resize of the CPU: WIDTH neighbouring bytes of a pixel a thread. Grid: any
// number of blocks of 256 threads.
#include "resize_pixels.cuh"

namespace {

struct alignas(WIDTH) Bytes {
  uint8_t of[WIDTH];
};

}  // namespace

KERNEL(resize_nearest, kElementThreads, 1, ResizeCall) {
  const ResizeParams& q = p.p;
  for_each_pixel(p, [&](int64_t to, int64_t image, Place y, Place x, int64_t byte) {
    const int64_t from = ((image * q.ih + y) * q.iw + x) * q.c + byte;
    *reinterpret_cast<Bytes*>(p.dst + to) = *reinterpret_cast<const Bytes*>(p.src + from);
  });
}
