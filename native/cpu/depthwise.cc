// Depthwise convolution of channels-last images and its gradients. A channel multiplier m is served by repeating every input
// channel m times, so that the kernels see one filter per channel.
#include <algorithm>
#include <cstring>
#include <vector>

#include "vq/op.h"
#include "vq/scratch.h"
#include "vq/threads.h"
#include "vq/window.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/depthwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What ends each output: 0 nothing, 1 ReLU, 2 ReLU6. NaN stays NaN.
template <class D>
HWY_INLINE hn::Vec<D> finish(D d, hn::Vec<D> v, int activation) {
  if (activation == 0) return v;
  v = hn::IfThenElse(hn::Lt(v, hn::Zero(d)), hn::Zero(d), v);
  if (activation == 2) v = hn::IfThenElse(hn::Gt(v, hn::Set(d, 6.0f)), hn::Set(d, 6.0f), v);
  return v;
}

// One vector of channels of `Places` neighbouring outputs, taps [first, last) of each row.
template <int Places, class D>
HWY_INLINE void places(D d, const float* x, const float* w, const int64_t* x_rows, const int64_t* w_rows, int64_t n, int64_t first,
                       int64_t last, int64_t tap, int64_t place, int64_t c_all, const float* bias, int activation, float* y) {
  hn::Vec<D> sum[Places];
  const auto start = bias ? hn::LoadU(d, bias) : hn::Zero(d);
  for (int p = 0; p < Places; ++p) sum[p] = start;
  for (int64_t r = 0; r < n; ++r)
    for (int64_t k = first; k < last; ++k) {
      const auto weight = hn::LoadU(d, w + w_rows[r] + k * c_all);
      const float* from = x + x_rows[r] + k * tap;
      for (int p = 0; p < Places; ++p) sum[p] = hn::MulAdd(hn::LoadU(d, from + p * place), weight, sum[p]);
    }
  for (int p = 0; p < Places; ++p) hn::StoreU(finish(d, sum[p], activation), d, y + p * c_all);
}

template <int Places, class D>
HWY_INLINE void all_channels(D d, const float* x, const float* w, const int64_t* x_rows, const int64_t* w_rows, int64_t n,
                             int64_t first, int64_t last, int64_t tap, int64_t place, int64_t c_all, const float* bias,
                             int activation, float* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t c = 0; c < c_all; c += lanes) {
    const int64_t at = c + lanes <= c_all ? c : c_all - lanes;  // the last vector overlaps the one before it
    places<Places>(d, x + at, w + at, x_rows, w_rows, n, first, last, tap, place, c_all, bias ? bias + at : nullptr, activation,
                   y + at);
  }
}

// One row of outputs. The input rows stand at x + x_rows[r], their taps at w + w_rows[r].
template <class D>
void forward_row(D d, const float* x, const float* w, const int64_t* x_rows, const int64_t* w_rows, int64_t n, const Axis& a,
                 int64_t c_all, const float* bias, int activation, float* y) {
  constexpr int kPlaces = 4;
  const int64_t tap = a.dilation * c_all, place = a.stride * c_all;
  for (int64_t o = 0; o < a.out;) {
    const int64_t first = a.first(o), last = a.last(o);
    const float* from = x + a.begin(o) * c_all;
    if (o + kPlaces <= a.out && first == 0 && last == a.kernel && a.last(o + kPlaces - 1) == a.kernel) {
      all_channels<kPlaces>(d, from, w, x_rows, w_rows, n, 0, last, tap, place, c_all, bias, activation, y + o * c_all);
      o += kPlaces;
    } else {
      all_channels<1>(d, from, w, x_rows, w_rows, n, first, last, tap, place, c_all, bias, activation, y + o * c_all);
      ++o;
    }
  }
}

void depthwise_row(const float* x, const float* w, const int64_t* x_rows, const int64_t* w_rows, int64_t n, const Axis& a,
                   int64_t c_all, const float* bias, int activation, float* y) {
  const hn::ScalableTag<float> full;
  const hn::CappedTag<float, 4> quarter;
  if (c_all >= static_cast<int64_t>(hn::Lanes(full)))
    return forward_row(full, x, w, x_rows, w_rows, n, a, c_all, bias, activation, y);
  if (c_all >= static_cast<int64_t>(hn::Lanes(quarter)))
    return forward_row(quarter, x, w, x_rows, w_rows, n, a, c_all, bias, activation, y);
  forward_row(hn::CappedTag<float, 1>(), x, w, x_rows, w_rows, n, a, c_all, bias, activation, y);
}

// One row of dx where the stride is over 1: place i meets tap k of output o where i = begin(o) + k·dilation.
template <class D>
void backward_row(D d, const float* dy, const float* w, const int64_t* dy_rows, const int64_t* w_rows, int64_t n, const Axis& a,
                  int64_t c_all, float* dx) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < a.in; ++i, dx += c_all)
    for (int64_t c = 0; c < c_all; c += lanes) {
      const int64_t at = c + lanes <= c_all ? c : c_all - lanes;
      auto sum = hn::Zero(d);
      for (int64_t k = 0; k < a.kernel; ++k) {
        const int64_t from = i + a.pad - k * a.dilation, o = from / a.stride;
        if (from < 0) break;
        if (from % a.stride != 0 || o >= a.out) continue;
        for (int64_t r = 0; r < n; ++r)
          sum = hn::MulAdd(hn::LoadU(d, dy + dy_rows[r] + o * c_all + at), hn::LoadU(d, w + w_rows[r] + k * c_all + at), sum);
      }
      hn::StoreU(sum, d, dx + at);
    }
}

void depthwise_backward_row(const float* dy, const float* w, const int64_t* dy_rows, const int64_t* w_rows, int64_t n,
                            const Axis& a, int64_t c_all, float* dx) {
  const hn::ScalableTag<float> full;
  const hn::CappedTag<float, 4> quarter;
  if (c_all >= static_cast<int64_t>(hn::Lanes(full))) return backward_row(full, dy, w, dy_rows, w_rows, n, a, c_all, dx);
  if (c_all >= static_cast<int64_t>(hn::Lanes(quarter))) return backward_row(quarter, dy, w, dy_rows, w_rows, n, a, c_all, dx);
  backward_row(hn::CappedTag<float, 1>(), dy, w, dy_rows, w_rows, n, a, c_all, dx);
}

// dw of taps [k0, k0 + Taps) of one filter row += one row of x · one row of dy, `lanes` channels.
template <int Taps, class D>
HWY_INLINE void filter_taps(D d, const float* x, const float* dy, const Axis& a, int64_t k0, int64_t c_all, float* dw) {
  hn::Vec<D> sum[Taps];
  for (int k = 0; k < Taps; ++k) sum[k] = hn::LoadU(d, dw + (k0 + k) * c_all);
  for (int64_t o = 0; o < a.out; ++o) {
    const auto g = hn::LoadU(d, dy + o * c_all);
    const int64_t first = a.first(o), last = a.last(o);
    const float* from = x + (a.begin(o) + k0 * a.dilation) * c_all;
    if (first <= k0 && last >= k0 + Taps) {
      for (int k = 0; k < Taps; ++k) sum[k] = hn::MulAdd(hn::LoadU(d, from + k * a.dilation * c_all), g, sum[k]);
    } else {
      for (int k = 0; k < Taps; ++k)
        if (k0 + k >= first && k0 + k < last) sum[k] = hn::MulAdd(hn::LoadU(d, from + k * a.dilation * c_all), g, sum[k]);
    }
  }
  for (int k = 0; k < Taps; ++k) hn::StoreU(sum[k], d, dw + (k0 + k) * c_all);
}

template <class D>
HWY_INLINE void filter_channels(D d, const float* x, const float* dy, const Axis& a, int64_t c_all, float* dw) {
  int64_t k = 0;
  for (; k + 3 <= a.kernel; k += 3) filter_taps<3>(d, x, dy, a, k, c_all, dw);
  for (; k < a.kernel; ++k) filter_taps<1>(d, x, dy, a, k, c_all, dw);
}

// Sums do not take overlapping vectors: what a full vector leaves over goes channel by channel.
void depthwise_filter_row(const float* x, const float* dy, const Axis& a, int64_t c_all, float* dw) {
  const hn::ScalableTag<float> full;
  const hn::CappedTag<float, 4> quarter;
  int64_t c = 0;
  for (const int64_t n = static_cast<int64_t>(hn::Lanes(full)); c + n <= c_all; c += n) filter_channels(full, x + c, dy + c, a, c_all, dw + c);
  for (const int64_t n = static_cast<int64_t>(hn::Lanes(quarter)); c + n <= c_all; c += n)
    filter_channels(quarter, x + c, dy + c, a, c_all, dw + c);
  for (; c < c_all; ++c) filter_channels(hn::CappedTag<float, 1>(), x + c, dy + c, a, c_all, dw + c);
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(depthwise_row);
HWY_EXPORT(depthwise_backward_row);
HWY_EXPORT(depthwise_filter_row);

namespace {

// Rows of the input and of the filter that output row oh takes.
struct Rows {
  std::vector<int64_t> x, w;
  void of_output(const Window& s, int64_t oh) {
    x.clear(), w.clear();
    for (int64_t j = s.height.first(oh); j < s.height.last(oh); ++j) {
      x.push_back((s.height.begin(oh) + j * s.height.dilation) * s.width.in * s.channels);
      w.push_back(j * s.width.kernel * s.channels);
    }
  }
  void of_input(const Window& s, int64_t i) {
    x.clear(), w.clear();
    for (int64_t j = 0; j < s.height.kernel; ++j) {
      const int64_t from = i + s.height.pad - j * s.height.dilation, o = from / s.height.stride;
      if (from < 0 || from % s.height.stride != 0 || o >= s.height.out) continue;
      x.push_back(o * s.width.out * s.channels);
      w.push_back(j * s.width.kernel * s.channels);
    }
  }
};

int64_t grain(int64_t work) { return std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, work)); }

void forward(const Window& s, int threads, const float* x, const float* w, const float* bias, int activation, float* y) {
  const int64_t line = s.width.out * s.channels;
  if (s.output_size() == 0) return;
  parallel_for(s.batch * s.height.out, grain(line), threads, [&](int64_t b, int64_t e) {
    Rows rows;
    for (int64_t i = b; i < e; ++i) {
      rows.of_output(s, i % s.height.out);
      HWY_DYNAMIC_DISPATCH(depthwise_row)
      (x + i / s.height.out * s.in_places() * s.channels, w, rows.x.data(), rows.w.data(), static_cast<int64_t>(rows.x.size()),
       s.width, s.channels, bias, activation, y + i * line);
    }
  });
}

void backward_input(const Window& s, int threads, const float* dy, const float* w, float* dx) {
  if (s.input_size() == 0) return;
  if (s.height.stride == 1 && s.width.stride == 1 && s.height.kernel > 0 && s.width.kernel > 0) {
    // The forward convolution of dy with the filter turned by half a turn.
    const int64_t taps = s.height.kernel * s.width.kernel;
    Scratch<float> turned(taps * s.channels);
    for (int64_t t = 0; t < taps; ++t) std::memcpy(turned.data() + t * s.channels, w + (taps - 1 - t) * s.channels, s.channels * sizeof(float));
    Window back = s;
    for (auto [to, from] : {std::pair{&back.height, &s.height}, std::pair{&back.width, &s.width}}) {
      to->in = from->out;
      to->out = from->in;
      to->pad = (from->kernel - 1) * from->dilation - from->pad;
    }
    return forward(back, threads, dy, turned.data(), nullptr, 0, dx);
  }
  const int64_t line = s.width.in * s.channels;
  parallel_for(s.batch * s.height.in, grain(line), threads, [&](int64_t b, int64_t e) {
    Rows rows;
    for (int64_t i = b; i < e; ++i) {
      rows.of_input(s, i % s.height.in);
      HWY_DYNAMIC_DISPATCH(depthwise_backward_row)
      (dy + i / s.height.in * s.out_places() * s.channels, w, rows.x.data(), rows.w.data(), static_cast<int64_t>(rows.x.size()), s.width,
       s.channels, dx + i * line);
    }
  });
}

// The rows of outputs are summed in a fixed number of parts, and the parts in order: threads change nothing.
void backward_filter(const Window& s, int threads, const float* x, const float* dy, float* dw) {
  const int64_t size = s.height.kernel * s.width.kernel * s.channels, lines = s.batch * s.height.out, line = s.width.out * s.channels;
  std::fill(dw, dw + size, 0.0f);
  if (size == 0 || s.output_size() == 0 || s.input_size() == 0) return;
  const int64_t parts = std::min<int64_t>(16, std::max<int64_t>(1, lines * line >> 15));
  Scratch<float> sums(parts * size);
  std::fill(sums.data(), sums.data() + parts * size, 0.0f);
  parallel_for(parts, 1, threads, [&](int64_t b, int64_t e) {
    Rows rows;
    for (int64_t p = b; p < e; ++p)
      for (int64_t i = lines * p / parts; i < lines * (p + 1) / parts; ++i) {
        rows.of_output(s, i % s.height.out);
        for (size_t r = 0; r < rows.x.size(); ++r)
          HWY_DYNAMIC_DISPATCH(depthwise_filter_row)
        (x + i / s.height.out * s.in_places() * s.channels + rows.x[r], dy + i * line, s.width, s.channels,
         sums.data() + p * size + rows.w[r]);
      }
  });
  for (int64_t p = 0; p < parts; ++p)
    for (int64_t k = 0; k < size; ++k) dw[k] += sums[p * size + k];
}

// Each value `times` times.
Scratch<float> repeated(const float* x, int64_t n, int64_t times, int threads) {
  Scratch<float> out(n * times);
  float* to = out.data();
  parallel_for(n, 1 << 14, threads, [=](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i)
      for (int64_t q = 0; q < times; ++q) to[i * times + q] = x[i];
  });
  return out;
}

// The window over `channels · multiplier` channels.
struct Depthwise {
  Window s;
  int64_t multiplier, inputs;
  explicit Depthwise(Args& args) : s(window_of(args)), multiplier(args.integer()) {
    check(s.depth.in == 1 && s.depth.out == 1 && s.depth.kernel == 1, "depthwise convolution is over two axes");
    check(multiplier >= 0 && multiplier <= (int64_t{1} << 31), "a channel multiplier is out of range");
    inputs = checked_product({s.batch, s.depth.in, s.height.in, s.width.in, s.channels});
    checked_product({s.batch, s.height.in, s.width.in, s.channels, multiplier});
    checked_product({s.batch, s.height.out, s.width.out, s.channels, multiplier});
    checked_product({s.height.kernel, s.width.kernel, s.channels, multiplier});
    s.channels *= multiplier;
  }
  int64_t filter_size() const { return s.height.kernel * s.width.kernel * s.channels; }
};

}  // namespace

// Arguments: the window, multiplier, activation (0 none, 1 ReLU, 2 ReLU6), x, filter, bias or -1, y.
VQ_OP(DepthwiseConv2D) {
  const Depthwise k(args);
  const int activation = static_cast<int>(args.integer());
  const float *x = args.tensor<float>(k.inputs), *w = args.tensor<float>(k.filter_size());
  const float* bias = args.optional<float>(k.s.channels);
  float* y = args.tensor<float>(k.s.output_size());
  Scratch<float> wide;
  if (k.multiplier > 1) {
    wide = repeated(x, k.inputs, k.multiplier, args.ctx.threads);
    x = wide.data();
  }
  forward(k.s, args.ctx.threads, x, w, bias, activation, y);
}

// Arguments: the window, multiplier, dy, filter, dx.
VQ_OP(DepthwiseConv2DBackpropInput) {
  const Depthwise k(args);
  const float *dy = args.tensor<float>(k.s.output_size()), *w = args.tensor<float>(k.filter_size());
  float* dx = args.tensor<float>(k.inputs);
  if (k.multiplier == 1) return backward_input(k.s, args.ctx.threads, dy, w, dx);
  if (k.multiplier == 0) return std::fill(dx, dx + k.inputs, 0.0f);
  Scratch<float> wide(k.inputs * k.multiplier);
  backward_input(k.s, args.ctx.threads, dy, w, wide.data());
  const float* from = wide.data();
  const int64_t m = k.multiplier;
  parallel_for(k.inputs, 1 << 14, args.ctx.threads, [=](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      float sum = 0;
      for (int64_t q = 0; q < m; ++q) sum += from[i * m + q];
      dx[i] = sum;
    }
  });
}

// Arguments: the window, multiplier, x, dy, dw.
VQ_OP(DepthwiseConv2DBackpropFilter) {
  const Depthwise k(args);
  const float *x = args.tensor<float>(k.inputs), *dy = args.tensor<float>(k.s.output_size());
  float* dw = args.tensor<float>(k.filter_size());
  Scratch<float> wide;
  if (k.multiplier > 1) {
    wide = repeated(x, k.inputs, k.multiplier, args.ctx.threads);
    x = wide.data();
  }
  backward_filter(k.s, args.ctx.threads, x, dy, dw);
}

}  // namespace vq
#endif
