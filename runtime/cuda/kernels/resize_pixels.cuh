// How kernels walk the pixels of a resized image.
#pragma once
#include "elementwise.cuh"
#include "resize.cuh"

// Calls visit(to, image, y, x, channel) for every WIDTH neighbouring channels of every pixel of the result; `to` is
// where they begin, y and x are the places of its row and column.
template <class Visit>
DEVICE void for_each_pixel(const ResizeCall& p, Visit visit) {
  const ResizeParams& q = p.p;
  const int64_t vectors = q.c / WIDTH;
  for_each_element(q.images * q.oh * q.ow * vectors, [&](int64_t i) {
    const int64_t pixel = i / vectors, channel = (i - pixel * vectors) * WIDTH;
    const int64_t row = pixel / q.ow, image = row / q.oh;
    visit(pixel * q.c + channel, image, p.rows[row - image * q.oh], p.columns[pixel - row * q.ow], channel);
  });
}
