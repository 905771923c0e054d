// Grayscale dilation, y = max over the window of x + filter, and its gradients: each output's dy goes to its first maximum.
#include <algorithm>
#include <vector>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/whole.h"
#include "vq/window.h"

namespace vq {
namespace {

constexpr double kLowest = -9007199254740991.0;  // where TensorFlow.js starts: Number.MIN_SAFE_INTEGER

// The maximum of one output and where it stands; tap −1 where nothing meets the image.
struct Best {
  double value = kLowest;
  int64_t tap = -1, place = -1;
};

template <class T>
Best best_of(const Window& s, const T* x, const T* w, int64_t oh, int64_t ow, int64_t c) {
  Best best;
  for (int64_t i = s.height.first(oh); i < s.height.last(oh); ++i)
    for (int64_t j = s.width.first(ow); j < s.width.last(ow); ++j) {
      const int64_t row = s.height.begin(oh) + i * s.height.dilation, column = s.width.begin(ow) + j * s.width.dilation;
      const int64_t place = (row * s.width.in + column) * s.channels + c, tap = (i * s.width.kernel + j) * s.channels + c;
      const double v = static_cast<double>(x[place]) + static_cast<double>(w[tap]);
      if (v > best.value) best = {v, tap, place};
    }
  return best;
}

struct Sizes {
  Window s;
  int64_t filter;
  explicit Sizes(Args& args) : s(window_of(args)) {
    check(s.depth.in == 1 && s.depth.out == 1, "dilation is over two axes");
    filter = checked_product({s.height.kernel, s.width.kernel, s.channels});
  }
};

template <class T>
void dilate(Args& args, const Sizes& k) {
  const Window& s = k.s;
  const T *x = args.tensor<T>(s.input_size()), *w = args.tensor<T>(k.filter);
  T* y = args.tensor<T>(s.output_size());
  const int64_t line = s.width.out * s.channels;
  if (line == 0) return;
  parallel_for(s.batch * s.height.out, std::max<int64_t>(1, (1 << 12) / line), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i)
      for (int64_t o = 0; o < s.width.out; ++o)
        for (int64_t c = 0; c < s.channels; ++c)
          y[i * line + o * s.channels + c] =
              stored<T>(best_of(s, x + i / s.height.out * s.in_places() * s.channels, w, i % s.height.out, o, c).value);
  });
}

// Visits the outputs of channels [c0, c1) of one image.
template <class Visit>
void outputs(const Window& s, int64_t c0, int64_t c1, const Visit& visit) {
  for (int64_t oh = 0; oh < s.height.out; ++oh)
    for (int64_t ow = 0; ow < s.width.out; ++ow)
      for (int64_t c = c0; c < c1; ++c) visit(oh, ow, c, (oh * s.width.out + ow) * s.channels + c);
}

}  // namespace

// Arguments: dtype (float32 or int32), the window, x, filter, y.
VQ_OP(Dilation2D) {
  const DType dtype = dtype_of(args.number());
  const Sizes k(args);
  if (dtype == DType::kFloat32) dilate<float>(args, k);
  else dilate<int32_t>(args, k);
}

// Where a window meets nothing above the start, dy goes to its first place inside the image, as on TensorFlow.js's own
// backend. Arguments: the window, x, filter, dy, dx.
VQ_OP(Dilation2DBackpropInput) {
  const Sizes k(args);
  const Window& s = k.s;
  const float *x = args.tensor<float>(s.input_size()), *w = args.tensor<float>(k.filter), *dy = args.tensor<float>(s.output_size());
  float* dx = args.tensor<float>(s.input_size());
  const int64_t in = s.in_places() * s.channels, out = s.out_places() * s.channels;
  parallel_for(s.batch * s.channels, 1, args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t task = b; task < e; ++task) {
      const int64_t image = task / s.channels, channel = task % s.channels;
      for (int64_t p = channel; p < in; p += s.channels) dx[image * in + p] = 0;
      outputs(s, channel, channel + 1, [&](int64_t oh, int64_t ow, int64_t c, int64_t at) {
        int64_t place = best_of(s, x + image * in, w, oh, ow, c).place;
        const int64_t row = std::max<int64_t>(0, s.height.begin(oh)), column = std::max<int64_t>(0, s.width.begin(ow));
        if (place < 0 && row < s.height.in && column < s.width.in) place = (row * s.width.in + column) * s.channels + c;
        if (place >= 0) dx[image * in + place] += dy[image * out + at];
      });
    }
  });
}

// Arguments: the window, x, filter, dy, dw.
VQ_OP(Dilation2DBackpropFilter) {
  const Sizes k(args);
  const Window& s = k.s;
  const float *x = args.tensor<float>(s.input_size()), *w = args.tensor<float>(k.filter), *dy = args.tensor<float>(s.output_size());
  float* dw = args.tensor<float>(k.filter);
  std::fill(dw, dw + k.filter, 0.0f);
  if (k.filter == 0) return;
  const int64_t in = s.in_places() * s.channels, out = s.out_places() * s.channels;
  parallel_for(s.channels, 1, args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t image = 0; image < s.batch; ++image)
      outputs(s, b, e, [&](int64_t oh, int64_t ow, int64_t c, int64_t at) {
        const int64_t tap = best_of(s, x + image * in, w, oh, ow, c).tap;
        dw[tap < 0 ? c : tap] += dy[image * out + at];
      });
  });
}

}  // namespace vq
