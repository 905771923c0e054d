#include "convolution_part.h"

#include <algorithm>
#include <cstring>

#include "vq/threads.h"

namespace vq {
namespace {

struct Range {
  int64_t begin, end;
};

// The places of one axis that some tap of some output reads.
Range read_of(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t near) {
  const int64_t end = std::min(in, (out - 1) * stride - near + (kernel - 1) * dilation + 1);
  const int64_t begin = std::min(in, std::max<int64_t>(0, -near));
  return {begin, std::max(begin, end)};
}

Range depth(const Convolution& s) { return read_of(s.in_d, s.out_d, s.kernel_d, s.stride_d, s.dilation_d, s.pad_front); }
Range height(const Convolution& s) { return read_of(s.in_h, s.out_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top); }
Range width(const Convolution& s) { return read_of(s.in_w, s.out_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left); }

bool cut(const Range& r, int64_t in, int64_t stride) { return r.begin > 0 || in - r.end >= stride; }

// Calls line(element of the whole, element of the part) for each row of the part.
template <class Line>
void lines(const Convolution& s, const Convolution& part, int threads, const Line& line) {
  const int64_t d0 = depth(s).begin, h0 = height(s).begin, w0 = width(s).begin, size = part.in_w * part.in_c;
  if (size == 0) return;
  parallel_for(part.batch * part.in_d * part.in_h, std::max<int64_t>(1, (1 << 14) / size), threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t h = i % part.in_h, d = i / part.in_h % part.in_d, n = i / part.in_h / part.in_d;
      line((((n * s.in_d + d + d0) * s.in_h + h + h0) * s.in_w + w0) * s.in_c, i * size, size);
    }
  });
}

}  // namespace

bool reads_part(const Convolution& s) {
  return cut(depth(s), s.in_d, s.stride_d) || cut(height(s), s.in_h, s.stride_h) || cut(width(s), s.in_w, s.stride_w);
}

Convolution part_of(const Convolution& s) {
  Convolution part = s;
  const Range d = depth(s), h = height(s), w = width(s);
  part.in_d = d.end - d.begin, part.in_h = h.end - h.begin, part.in_w = w.end - w.begin;
  part.pad_front += d.begin, part.pad_top += h.begin, part.pad_left += w.begin;
  // What follows from the sizes.
  part.pad_back = (s.out_d - 1) * s.stride_d + (s.kernel_d - 1) * s.dilation_d + 1 - part.in_d - part.pad_front;
  part.pad_bottom = (s.out_h - 1) * s.stride_h + (s.kernel_h - 1) * s.dilation_h + 1 - part.in_h - part.pad_top;
  part.pad_right = (s.out_w - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1 - part.in_w - part.pad_left;
  return part;
}

void take_part(const Convolution& whole, const Convolution& part, const float* x, float* out, int threads) {
  lines(whole, part, threads, [=](int64_t from, int64_t to, int64_t size) { std::memcpy(out + to, x + from, size * sizeof(float)); });
}

void put_part(const Convolution& whole, const Convolution& part, const float* from, float* dx, int threads) {
  std::fill(dx, dx + whole.input_size(), 0.0f);
  lines(whole, part, threads, [=](int64_t to, int64_t at, int64_t size) { std::memcpy(dx + to, from + at, size * sizeof(float)); });
}

}  // namespace vq
