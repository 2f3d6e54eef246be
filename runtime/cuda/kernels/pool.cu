// The family kernels/pool of the CPU: WIDTH neighbouring channels of one window a thread. OP is one of the structs
// below. Grid: any number of blocks of 256 threads.
#include "elementwise.cuh"
#include "kernels/pool/functions.h"

using namespace rushlight;

struct PoolCall {
  const ELEMENT* src;
  ELEMENT* dst;
  PoolParams p;
};

namespace {

struct MaxF32 {
  using State = V;
  DEVICE static State start() { return set(-__builtin_inff()); }
  DEVICE static State add(State found, float x) { return take_larger(found, set(x)); }
  DEVICE static float finish(const PoolParams&, const Window&, State found) { return found.lane; }
};

struct AvgF32 {
  using State = float;
  DEVICE static State start() { return 0.0f; }
  DEVICE static State add(State sum, float x) { return sum + x; }
  DEVICE static float finish(const PoolParams&, const Window& w, State sum) {
    return sum / static_cast<float>(w.count);
  }
};

struct MaxU8 {
  using State = int;
  DEVICE static State start() { return 0; }
  DEVICE static State add(State found, int x) { return x > found ? x : found; }
  DEVICE static uint8_t finish(const PoolParams&, const Window&, State found) { return static_cast<uint8_t>(found); }
};

struct AvgU8 {
  using State = int;
  DEVICE static State start() { return 0; }
  DEVICE static State add(State sum, int x) { return sum + x; }
  DEVICE static uint8_t finish(const PoolParams& p, const Window& w, State sum) {
    const int average = average_of_bytes(p, w, {sum}).lane;
    return static_cast<uint8_t>(average < 0 ? 0 : average > 255 ? 255 : average);
  }
};

struct alignas(sizeof(ELEMENT) * WIDTH) Channels {
  ELEMENT of[WIDTH];
};

constexpr int kAtOnce = 4;  // pixels of a window's row whose loads do not wait for each other

}  // namespace

KERNEL(pool, kElementThreads, 1, PoolCall) {
  const PoolParams& q = p.p;
  const int64_t vectors = q.c / WIDTH;
  for_each_element(q.images * q.oh * q.ow * vectors, [&](int64_t i) {
    const int64_t pixel = i / vectors, channel = (i - pixel * vectors) * WIDTH;
    const int64_t row = pixel / q.ow, ox = pixel - row * q.ow;
    const int64_t image = row / q.oh, oy = row - image * q.oh;
    const Window w = find_window(q, oy, ox);
    const ELEMENT* line = p.src + (image * q.ih * q.iw + w.offset) * q.src_pixel + channel;
    const int64_t step = q.dw * q.src_pixel;
    const int rows = static_cast<int>(w.rows), columns = static_cast<int>(w.columns);
    OP::State state[WIDTH];
#pragma unroll
    for (OP::State& s : state) s = OP::start();
    for (int ky = 0; ky < rows; ++ky, line += q.dh * q.iw * q.src_pixel) {
      const ELEMENT* at = line;
      for (int kx = 0; kx < columns; kx += kAtOnce) {
        Channels x[kAtOnce];
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k, at += step) {
          if (kx + k < columns) x[k] = *reinterpret_cast<const Channels*>(at);
        }
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          if (kx + k >= columns) break;
#pragma unroll
          for (int c = 0; c < WIDTH; ++c) state[c] = OP::add(state[c], x[k].of[c]);
        }
      }
    }
    Channels result;
#pragma unroll
    for (int c = 0; c < WIDTH; ++c) result.of[c] = OP::finish(q, w, state[c]);
    *reinterpret_cast<Channels*>(p.dst + pixel * q.dst_pixel + channel) = result;
  });
}
