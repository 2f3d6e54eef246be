// Where a convolution's taps lie: result (oh, ow) takes x at ih = oh * stride_h - padding_h + kh * dilation_h, likewise
// iw.
#pragma once
#include "device.cuh"

struct Window {
  int32_t height, width, out_height, out_width;
  int32_t kernel_height, kernel_width, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
};

// Elements of x from image to image, from row to row, from pixel to pixel, and from tap to tap.
struct Steps {
  int64_t image, row, pixel;
  int64_t tap_h;  // dilation_h * row
  int64_t tap_w;
};
