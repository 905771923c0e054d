#include "convolution_phases.h"

#include <algorithm>
#include <cstring>

#include "vq/threads.h"
#include "vq/winograd.h"

namespace vq {
namespace {

// Calls place(element of the image, element of the phases) for each place; images are as high and wide before as after.
template <class Place>
void places(const Convolution& s, int64_t channels, int threads, const Place& place) {
  const int64_t dh = s.dilation_h, dw = s.dilation_w, h = s.in_h / dh, w = s.in_w / dw;
  parallel_for(s.batch * dh * dw * h, std::max<int64_t>(1, (1 << 14) / (w * channels + 1)), threads, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t i = row % h, b = row / h % dw, a = row / h / dw % dh, n = row / h / dw / dh;
      const int64_t from = ((n * s.in_h + i * dh + a) * s.in_w + b) * channels;
      for (int64_t j = 0; j < w; ++j) place(from + j * dw * channels, (row * w + j) * channels);
    }
  });
}

}  // namespace

bool splits_into_phases(const Convolution& s) {
  return s.planar && (s.dilation_h > 1 || s.dilation_w > 1) && s.kernel_h == 3 && s.kernel_w == 3 && s.stride_h == 1 && s.stride_w == 1 &&
         s.pad_top == s.dilation_h && s.pad_left == s.dilation_w && s.out_h == s.in_h && s.out_w == s.in_w &&
         s.in_h % s.dilation_h == 0 && s.in_w % s.dilation_w == 0 && winograd_fits(phases_of(s));
}

Convolution phases_of(const Convolution& s) {
  Convolution p = s;
  p.batch *= s.dilation_h * s.dilation_w;
  p.in_h = p.out_h = s.in_h / s.dilation_h, p.in_w = p.out_w = s.in_w / s.dilation_w;
  p.dilation_h = p.dilation_w = p.pad_top = p.pad_bottom = p.pad_left = p.pad_right = 1;
  return p;
}

void take_phases(const Convolution& s, int64_t channels, const float* x, float* phases, int threads) {
  places(s, channels, threads, [=](int64_t at, int64_t to) { std::memcpy(phases + to, x + at, channels * sizeof(float)); });
}

void put_phases(const Convolution& s, int64_t channels, const float* phases, float* x, int threads) {
  places(s, channels, threads, [=](int64_t to, int64_t at) { std::memcpy(x + to, phases + at, channels * sizeof(float)); });
}

}  // namespace vq
