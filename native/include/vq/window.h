// Windows that slide over images of up to three spatial axes, channels last: pooling, depthwise convolution, dilation.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>

#include "vq/op.h"

namespace vq {

// Output place o takes tap k from input place o·stride − pad + k·dilation, where there is one.
struct Axis {
  int64_t in, out, kernel, stride, dilation, pad;
  int64_t begin(int64_t o) const { return o * stride - pad; }
  // Taps [first, last) meet the input.
  int64_t first(int64_t o) const {
    const int64_t b = begin(o);
    return b >= 0 ? 0 : std::min(kernel, (-b + dilation - 1) / dilation);
  }
  int64_t last(int64_t o) const {
    const int64_t b = begin(o);
    return b >= in ? 0 : std::min(kernel, (in - b + dilation - 1) / dilation);
  }
};

struct Window {
  int64_t batch, channels;
  Axis depth, height, width;
  int64_t in_places() const { return depth.in * height.in * width.in; }
  int64_t out_places() const { return depth.out * height.out * width.out; }
  int64_t input_size() const { return batch * in_places() * channels; }
  int64_t output_size() const { return batch * out_places() * channels; }
};

// The product of sizes; far more elements than any tensor has is an error, before the product could overflow.
inline int64_t checked_product(std::initializer_list<int64_t> sizes) {
  int64_t n = 1;
  for (int64_t s : sizes) {
    check(s >= 0, "a size is negative");
    if (s == 0) return 0;
  }
  for (int64_t s : sizes) {
    check(s <= (int64_t{1} << 46) / n, "a kernel's sizes exceed what memory can hold");
    n *= s;
  }
  return n;
}

// batch, channels, then for depth, height and width: in, out, kernel, stride, dilation, padding before.
inline Window window_of(Args& args) {
  Window s;
  s.batch = args.integer();
  s.channels = args.integer();
  constexpr int64_t kMost = int64_t{1} << 31;
  for (Axis* a : {&s.depth, &s.height, &s.width}) {
    for (int64_t* field : {&a->in, &a->out, &a->kernel, &a->stride, &a->dilation, &a->pad}) {
      *field = args.integer();
      check(*field <= kMost && *field >= -kMost, "a window's size is out of range");
    }
    check(a->stride >= 1 && a->dilation >= 1, "strides and dilations start at 1");
    check(a->kernel >= 0, "a window has a negative size");
  }
  checked_product({s.batch, s.channels, s.depth.in, s.height.in, s.width.in});
  checked_product({s.batch, s.channels, s.depth.out, s.height.out, s.width.out});
  return s;
}

}  // namespace vq
