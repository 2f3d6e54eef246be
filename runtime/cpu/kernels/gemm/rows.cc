#include "kernels/gemm/rows.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace rushlight {

namespace {

// Copies `n` elements, widening u8 to s16 where the types differ; returns the end.
template <class Src, class Dst>
Dst* convert(const Src* src, Dst* dst, int64_t n) {
  if constexpr (sizeof(Src) == sizeof(Dst)) {
    std::memcpy(dst, src, size_t(n) * sizeof(Dst));
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = Dst(src[i]);
  }
  return dst + n;
}

// Pointers to what lies `step` bytes apart.
void point(const std::byte** begin, const std::byte** end, const std::byte* first, int64_t step) {
  static_assert(sizeof(void*) == sizeof(uint64_t));
  using Pair = uint64_t __attribute__((vector_size(16)));
  const uint64_t at = reinterpret_cast<uintptr_t>(first), distance = uint64_t(step);
  Pair low = {at, at + distance}, high = low + 2 * distance;
  for (; end - begin >= 4; begin += 4, first += 4 * step) {
    std::memcpy(begin, &low, sizeof low);
    std::memcpy(begin + 2, &high, sizeof high);
    low += 4 * distance;
    high += 4 * distance;
  }
  for (; begin != end; ++begin, first += step) *begin = first;
}

// The x in [begin, end) for which 0 <= x * stride + offset < limit.
struct Range {
  int64_t begin, end;
};
Range inside(int64_t begin, int64_t end, int64_t stride, int64_t offset, int64_t limit) {
  // Divisions take as long as copying a short row.
  const auto steps = [stride](int64_t distance) { return stride == 1 ? distance : ceil_div(distance, stride); };
  const int64_t first = offset >= 0 ? 0 : steps(-offset);
  const int64_t last = limit > offset ? steps(limit - offset) : 0;
  const int64_t clamped = std::clamp(first, begin, end);
  return {clamped, std::clamp(last, clamped, end)};
}

}  // namespace

struct GemmRows::Segment {
  int64_t image, oy, ox_begin, ox_end;
  int64_t at;  // index of the first row in the block
};

// Of the parts of scratch memory.
struct GemmRows::Sizes {
  int64_t taps, row_stride, run_bytes;
  int64_t pad, pointers, copies;  // bytes

  Sizes(const GemmFormat& format, const GemmParams& p, const GemmBlocks& blocks) {
    constexpr int64_t extra = 16;  // pointers past the end of a block: no tile reaches further
    const GemmReading reading = gemm_reading(format, p);
    taps = gemm_taps(reading, p);
    row_stride = blocks.m_run + extra;
    run_bytes = ceil_div(p.kw * p.k, step_depth(format.step)) * kStepBytes;
    // Groups share a pixel, padding too.
    const int64_t pad_bytes = gemm_shares_rows(format, p) ? p.src_pixel * (format.step == GemmStep::f32 ? 4 : 1) : 0;
    pad = ceil_div(std::max(run_bytes, pad_bytes), 64) * 64;
    pointers = ceil_div(taps * row_stride * int64_t(sizeof(void*)), 64) * 64;
    copies = reading == GemmReading::taps ? 0 : blocks.m_run * p.kh * run_bytes;
  }
};

int64_t GemmRows::scratch_bytes(const GemmFormat& format, const GemmParams& params, const GemmBlocks& blocks) {
  const Sizes sizes(format, params, blocks);
  return sizes.pad + sizes.pointers + ceil_div(sizes.copies, 64) * 64;
}

GemmRows::GemmRows(const GemmFormat& format, const GemmParams& params, const GemmBlocks& blocks, std::byte* scratch)
    : p_(params), step_(format.step), reading_(gemm_reading(format, params)) {
  const Sizes sizes(format, params, blocks);
  taps_ = sizes.taps;
  row_stride_ = sizes.row_stride;
  run_bytes_ = sizes.run_bytes;
  src_bytes_ = step_ == GemmStep::f32 ? 4 : 1;
  pad_run_ = scratch;
  pointers_ = reinterpret_cast<const std::byte**>(scratch + sizes.pad);
  copies_ = scratch + sizes.pad + sizes.pointers;
  std::memset(pad_run_, step_ == GemmStep::f32 ? 0 : int(p_.src_zero_point), size_t(sizes.pad));
  // A matrix is one image of one row of pixels rather than many images of one pixel.
  if (p_.oh * p_.ow * p_.ih * p_.iw * p_.kh * p_.kw == 1 && p_.ph == 0 && p_.pw == 0) {
    p_.src_pixel = p_.src_image;
    p_.ow = p_.iw = p_.images;
    p_.images = p_.sw = 1;
  }
}

void GemmRows::set(const std::byte* src, int64_t begin, int64_t end) {
  for (int64_t m = begin; m < end;) {
    const int64_t ox = m % p_.ow, length = std::min(p_.ow - ox, end - m);
    set_segment(src, {m / (p_.ow * p_.oh), m / p_.ow % p_.oh, ox, ox + length, m - begin});
    m += length;
  }
  for (int64_t tap = 0; tap < taps_; ++tap) {
    const std::byte** const row = pointers_ + tap * row_stride_;
    std::fill(row + (end - begin), row + row_stride_, row[end - begin - 1]);
  }
}

void GemmRows::set_segment(const std::byte* src, const Segment& s) {
  const auto* const floats = reinterpret_cast<const float*>(src);
  const auto* const bytes = reinterpret_cast<const uint8_t*>(src);
  if (reading_ == GemmReading::taps) return point_taps(src, s);
  if (step_ == GemmStep::s16x2) return copy_rows<int16_t>(bytes, s);
  if (step_ == GemmStep::f32) return point_runs(floats, s);
  return reading_ == GemmReading::runs ? point_runs(bytes, s) : copy_rows<uint8_t>(bytes, s);
}

void GemmRows::point_taps(const std::byte* src, const Segment& s) {
  const std::byte** out = pointers_ + s.at;
  for (int64_t ky = 0; ky < p_.kh; ++ky) {
    const int64_t iy = s.oy * p_.sh - p_.ph + ky * p_.dh;
    const bool in_image = iy >= 0 && iy < p_.ih;
    for (int64_t kx = 0; kx < p_.kw; ++kx, out += row_stride_) {
      const int64_t ix = kx * p_.dw - p_.pw;  // of ox = 0
      const Range range = in_image ? inside(s.ox_begin, s.ox_end, p_.sw, ix, p_.iw) : Range{s.ox_end, s.ox_end};
      const std::byte** const row = out - s.ox_begin;
      std::fill(row + s.ox_begin, row + range.begin, pad_run_);
      const int64_t step = p_.sw * p_.src_pixel * src_bytes_;
      const std::byte* const pixel = src + (s.image * p_.src_image + iy * p_.src_row + ix * p_.src_pixel) * src_bytes_;
      point(row + range.begin, row + range.end, pixel + range.begin * step, step);
      std::fill(row + range.end, row + s.ox_end, pad_run_);
    }
  }
}

template <class Element>
void GemmRows::point_runs(const Element* src, const Segment& s) {
  const Element* const image = src + s.image * p_.src_image;
  // A run is read in whole steps, which must not pass the end of its image's row: it may be the end of src.
  const int64_t read = run_bytes_ / int64_t(sizeof(Element));
  const int64_t room = (p_.iw - 1) * p_.src_pixel + p_.k - read;
  const int64_t limit = room < 0 ? 0 : room / std::max<int64_t>(p_.src_pixel, 1) + 1;
  for (int64_t ky = 0; ky < p_.kh; ++ky) {
    const std::byte** const row = pointers_ + ky * row_stride_ + s.at - s.ox_begin;
    const int64_t iy = s.oy * p_.sh - p_.ph + ky * p_.dh;
    if (iy < 0 || iy >= p_.ih) {
      std::fill(row + s.ox_begin, row + s.ox_end, pad_run_);
      continue;
    }
    const Range direct = inside(s.ox_begin, s.ox_end, p_.sw, -p_.pw, limit);
    for (int64_t ox = s.ox_begin; ox < direct.begin; ++ox) row[ox] = copy_run<Element>(image, s, ox, ky);
    const Element* const pixel = image + iy * p_.src_row + (direct.begin * p_.sw - p_.pw) * p_.src_pixel;
    const int64_t step = p_.sw * p_.src_pixel * int64_t(sizeof(Element));
    point(row + direct.begin, row + direct.end, reinterpret_cast<const std::byte*>(pixel), step);
    for (int64_t ox = direct.end; ox < s.ox_end; ++ox) row[ox] = copy_run<Element>(image, s, ox, ky);
  }
}

template <class Dst, class Src>
void GemmRows::copy_rows(const Src* src, const Segment& s) {
  const int64_t row_bytes = p_.kh * run_bytes_;
  if (is_dense(int64_t(sizeof(Dst)))) {
    std::byte* const first = copies_ + s.at * row_bytes;
    const Src* const pixel = src + s.image * p_.src_image + s.oy * p_.src_row + s.ox_begin * p_.k;
    convert(pixel, reinterpret_cast<Dst*>(first), (s.ox_end - s.ox_begin) * p_.k);
    return point(pointers_ + s.at, pointers_ + s.at + (s.ox_end - s.ox_begin), first, row_bytes);
  }
  for (int64_t ox = s.ox_begin; ox < s.ox_end; ++ox) {
    for (int64_t ky = 0; ky < p_.kh; ++ky) copy_run<Dst>(src + s.image * p_.src_image, s, ox, ky);
    const int64_t index = s.at + ox - s.ox_begin;
    pointers_[index] = copies_ + index * row_bytes;
  }
}

// Whether the rows of a segment follow each other in src, and copies of such elements without a gap too.
bool GemmRows::is_dense(int64_t element_bytes) const {
  return p_.kh * p_.kw * p_.sh * p_.sw == 1 && p_.ph == 0 && p_.pw == 0 && p_.ow <= p_.iw && p_.oh <= p_.ih &&
         p_.src_pixel == p_.k && p_.k * element_bytes == run_bytes_;
}

// Copies what one kernel row covers, padding included, to its place.
template <class Dst, class Src>
std::byte* GemmRows::copy_run(const Src* image, const Segment& s, int64_t ox, int64_t ky) {
  std::byte* const run = copies_ + ((s.at + ox - s.ox_begin) * p_.kh + ky) * run_bytes_;
  Dst* out = reinterpret_cast<Dst*>(run);
  const Dst pad = step_ == GemmStep::f32 ? Dst(0) : Dst(p_.src_zero_point);
  const int64_t iy = s.oy * p_.sh - p_.ph + ky * p_.dh, ix = ox * p_.sw - p_.pw;
  const Range kx = iy >= 0 && iy < p_.ih ? inside(0, p_.kw, p_.dw, ix, p_.iw) : Range{p_.kw, p_.kw};
  const Src* pixel = image + iy * p_.src_row + (ix + kx.begin * p_.dw) * p_.src_pixel;
  out = std::fill_n(out, kx.begin * p_.k, pad);
  if (p_.dw == 1 && p_.src_pixel == p_.k) {
    out = convert(pixel, out, (kx.end - kx.begin) * p_.k);
  } else {
    for (int64_t x = kx.begin; x < kx.end; ++x, pixel += p_.dw * p_.src_pixel) out = convert(pixel, out, p_.k);
  }
  out = std::fill_n(out, (p_.kw - kx.end) * p_.k, pad);
  std::memset(out, 0, size_t(run + run_bytes_ - reinterpret_cast<std::byte*>(out)));
  return run;
}

}  // namespace rushlight
