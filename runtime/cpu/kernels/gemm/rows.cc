#include "kernels/gemm/rows.h"

#include <algorithm>
#include <cstring>

namespace rushlight {

namespace {

// Copies `n` elements, widening u8 to s16 where the types differ.
template <class Src, class Dst>
void convert(const Src* src, Dst* dst, int64_t n) {
  if constexpr (sizeof(Src) == sizeof(Dst)) {
    std::memcpy(dst, src, size_t(n) * sizeof(Dst));
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = Dst(src[i]);
  }
}

// The x in [begin, end) for which 0 <= x * stride + offset < limit.
struct Range {
  int64_t begin, end;
};
Range inside(int64_t begin, int64_t end, int64_t stride, int64_t offset, int64_t limit) {
  const int64_t first = offset >= 0 ? 0 : ceil_div(-offset, stride);
  const int64_t last = limit > offset ? ceil_div(limit - offset, stride) : 0;
  const int64_t clamped = std::clamp(first, begin, end);
  return {clamped, std::clamp(last, clamped, end)};
}

}  // namespace

struct GemmRows::Segment {
  int64_t image, oy, ox_begin, ox_end;
  int64_t at;  // index of the first row in the block
};

GemmRows::GemmRows(const GemmFormat& format, const GemmParams& params, const GemmBlocks& blocks, std::byte* scratch)
    : p_(params), step_(format.step), gathers_(gemm_gathers(format, params)), taps_(gathers_ ? 1 : p_.kh * p_.kw) {
  // A matrix is one image of one row of pixels rather than many images of one pixel.
  if (p_.oh * p_.ow * p_.ih * p_.iw * p_.kh * p_.kw == 1 && p_.ph == 0 && p_.pw == 0) {
    p_.src_pixel = p_.src_image;
    p_.ow = p_.iw = p_.images;
    p_.images = p_.sw = 1;
  }
  src_bytes_ = step_ == GemmStep::f32 ? 4 : 1;
  gathered_bytes_ = ceil_div(p_.k * p_.kh * p_.kw, step_depth(step_)) * kStepBytes;
  row_stride_ = blocks.m_block + kExtraRows;
  const int64_t pad_bytes = pad_row_bytes(p_);
  pad_row_ = scratch;
  pointers_ = reinterpret_cast<const std::byte**>(scratch + pad_bytes);
  gathered_ = scratch + pad_bytes + pointer_bytes(taps_, row_stride_);
  const int pad = step_ == GemmStep::f32 ? 0 : int(p_.src_zero_point);
  std::memset(pad_row_, pad, size_t(pad_bytes));
}

template <class Visit>
void GemmRows::visit_segments(int64_t begin, int64_t end, Visit visit) const {
  for (int64_t m = begin; m < end;) {
    const int64_t ox = m % p_.ow, length = std::min(p_.ow - ox, end - m);
    visit(Segment{m / (p_.ow * p_.oh), m / p_.ow % p_.oh, ox, ox + length, m - begin});
    m += length;
  }
}

void GemmRows::set(const std::byte* src, int64_t begin, int64_t end) {
  const int64_t count = end - begin;
  if (!gathers_) {
    visit_segments(begin, end, [&](const Segment& segment) { point(src, segment); });
  } else {
    visit_segments(begin, end, [&](const Segment& segment) {
      switch (step_) {
        case GemmStep::f32: gather<float>(reinterpret_cast<const float*>(src), segment); break;
        case GemmStep::u8x4: gather<uint8_t>(reinterpret_cast<const uint8_t*>(src), segment); break;
        case GemmStep::s16x2: gather<int16_t>(reinterpret_cast<const uint8_t*>(src), segment); break;
      }
    });
    for (int64_t i = 0; i < count; ++i) pointers_[i] = gathered_ + i * gathered_bytes_;
  }
  for (int64_t tap = 0; tap < taps_; ++tap) {
    const std::byte** const row = pointers_ + tap * row_stride_;
    std::fill(row + count, row + count + kExtraRows, row[count - 1]);
  }
}

void GemmRows::point(const std::byte* src, const Segment& s) {
  const std::byte** out = pointers_ + s.at;
  for (int64_t ky = 0; ky < p_.kh; ++ky) {
    const int64_t iy = s.oy * p_.sh - p_.ph + ky * p_.dh;
    const bool in_image = iy >= 0 && iy < p_.ih;
    for (int64_t kx = 0; kx < p_.kw; ++kx, out += row_stride_) {
      const int64_t ix = kx * p_.dw - p_.pw;  // of ox = 0
      const Range range = in_image ? inside(s.ox_begin, s.ox_end, p_.sw, ix, p_.iw) : Range{s.ox_end, s.ox_end};
      const std::byte** const row = out - s.ox_begin;
      std::fill(row + s.ox_begin, row + range.begin, pad_row_);
      const int64_t step = p_.sw * p_.src_pixel * src_bytes_;
      const std::byte* const pixel = src + (s.image * p_.src_image + iy * p_.src_row + ix * p_.src_pixel) * src_bytes_;
      for (int64_t ox = range.begin; ox < range.end; ++ox) row[ox] = pixel + ox * step;
      std::fill(row + range.end, row + s.ox_end, pad_row_);
    }
  }
}

template <class Dst, class Src>
void GemmRows::gather(const Src* src, const Segment& s) {
  const Dst pad = step_ == GemmStep::f32 ? Dst(0) : Dst(p_.src_zero_point);
  const bool adjacent = p_.dw == 1 && p_.src_pixel == p_.k;
  const Src* const image = src + s.image * p_.src_image;
  for (int64_t ox = s.ox_begin; ox < s.ox_end; ++ox) {
    std::byte* const row = gathered_ + (s.at + ox - s.ox_begin) * gathered_bytes_;
    Dst* out = reinterpret_cast<Dst*>(row);
    for (int64_t ky = 0; ky < p_.kh; ++ky) {
      const int64_t iy = s.oy * p_.sh - p_.ph + ky * p_.dh, ix = ox * p_.sw - p_.pw;
      const Range kx = iy >= 0 && iy < p_.ih ? inside(0, p_.kw, p_.dw, ix, p_.iw) : Range{p_.kw, p_.kw};
      std::fill(out, out + kx.begin * p_.k, pad);
      const Src* pixel = image + iy * p_.src_row + (ix + kx.begin * p_.dw) * p_.src_pixel;
      Dst* at = out + kx.begin * p_.k;
      if (adjacent) {
        convert(pixel, at, (kx.end - kx.begin) * p_.k);
      } else {
        for (int64_t x = kx.begin; x < kx.end; ++x, at += p_.k, pixel += p_.dw * p_.src_pixel) convert(pixel, at, p_.k);
      }
      std::fill(out + kx.end * p_.k, out + p_.kw * p_.k, pad);
      out += p_.kw * p_.k;
    }
    std::memset(out, 0, size_t(row + gathered_bytes_ - reinterpret_cast<std::byte*>(out)));
  }
}

}  // namespace rushlight
