// Maximum and average pooling over windows of two or three axes, and their gradients.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/window.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/pool.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One row of outputs: the window's rows start at x + rows[0..n), channels [0, c_all) of each place lie together. Vectors are
// as wide as the channels fill; the last one of a place overlaps the one before it.

// `Blocks` vectors of channels of the largest value, which NaN never is, as in TensorFlow.js.
template <int Blocks, class D, class T>
HWY_INLINE void max_block(D d, const T* x, const int64_t* rows, int64_t n, int64_t taps, int64_t c_all, T start, T* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<D> best[Blocks];
  for (int b = 0; b < Blocks; ++b) best[b] = hn::Set(d, start);
  for (int64_t r = 0; r < n; ++r) {
    const T* p = x + rows[r];
    for (int64_t k = 0; k < taps; ++k, p += c_all)
      for (int b = 0; b < Blocks; ++b) {
        const auto v = hn::LoadU(d, p + b * lanes);
        best[b] = hn::IfThenElse(hn::Gt(v, best[b]), v, best[b]);
      }
  }
  for (int b = 0; b < Blocks; ++b) hn::StoreU(best[b], d, y + b * lanes);
}

template <class D, class T>
void max_row(D d, const T* x, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all, T lowest, T empty, T* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t o = 0; o < w.out; ++o, y += c_all) {
    const int64_t first = w.first(o), taps = n > 0 ? w.last(o) - first : 0;
    if (taps <= 0) {
      for (int64_t c = 0; c < c_all; ++c) y[c] = empty;
      continue;
    }
    const T* at = x + (w.begin(o) + first) * c_all;
    int64_t c = 0;
    for (; c + 4 * lanes <= c_all; c += 4 * lanes) max_block<4>(d, at + c, rows, n, taps, c_all, lowest, y + c);
    for (; c + lanes <= c_all; c += lanes) max_block<1>(d, at + c, rows, n, taps, c_all, lowest, y + c);
    if (c < c_all) max_block<1>(d, at + c_all - lanes, rows, n, taps, c_all, lowest, y + c_all - lanes);
  }
}

// Sums go row by row, so that rounding errors do not grow with the window's area.
template <int Blocks, class D>
HWY_INLINE void mean_block(D d, const float* x, const int64_t* rows, int64_t n, int64_t taps, int64_t c_all, float* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<D> sum[Blocks], row[Blocks];
  for (int b = 0; b < Blocks; ++b) sum[b] = hn::Zero(d);
  for (int64_t r = 0; r < n; ++r) {
    const float* p = x + rows[r];
    for (int b = 0; b < Blocks; ++b) row[b] = hn::Zero(d);
    for (int64_t k = 0; k < taps; ++k, p += c_all)
      for (int b = 0; b < Blocks; ++b) row[b] = hn::Add(row[b], hn::LoadU(d, p + b * lanes));
    for (int b = 0; b < Blocks; ++b) sum[b] = hn::Add(sum[b], row[b]);
  }
  const auto count = hn::Set(d, static_cast<float>(n * taps));
  for (int b = 0; b < Blocks; ++b) hn::StoreU(hn::Div(sum[b], count), d, y + b * lanes);
}

template <class D>
void mean_row(D d, const float* x, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all, float empty, float* y) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t o = 0; o < w.out; ++o, y += c_all) {
    const int64_t first = w.first(o), taps = n > 0 ? w.last(o) - first : 0;
    if (taps <= 0) {
      for (int64_t c = 0; c < c_all; ++c) y[c] = empty;
      continue;
    }
    const float* at = x + (w.begin(o) + first) * c_all;
    int64_t c = 0;
    for (; c + 4 * lanes <= c_all; c += 4 * lanes) mean_block<4>(d, at + c, rows, n, taps, c_all, y + c);
    for (; c + lanes <= c_all; c += lanes) mean_block<1>(d, at + c, rows, n, taps, c_all, y + c);
    if (c < c_all) mean_block<1>(d, at + c_all - lanes, rows, n, taps, c_all, y + c_all - lanes);
  }
}

void max_row_f32(const float* x, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all, float* y) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const hn::ScalableTag<float> full;
  const hn::CappedTag<float, 4> quarter;
  if (c_all >= static_cast<int64_t>(hn::Lanes(full))) return max_row(full, x, rows, n, w, c_all, kLowest, kLowest, y);
  if (c_all >= static_cast<int64_t>(hn::Lanes(quarter))) return max_row(quarter, x, rows, n, w, c_all, kLowest, kLowest, y);
  max_row(hn::CappedTag<float, 1>(), x, rows, n, w, c_all, kLowest, kLowest, y);
}

// A window that meets nothing gives −∞, which is 0 as an int32.
void max_row_i32(const int32_t* x, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all, int32_t* y) {
  constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
  const hn::ScalableTag<int32_t> full;
  const hn::CappedTag<int32_t, 4> quarter;
  if (c_all >= static_cast<int64_t>(hn::Lanes(full))) return max_row(full, x, rows, n, w, c_all, kLowest, 0, y);
  if (c_all >= static_cast<int64_t>(hn::Lanes(quarter))) return max_row(quarter, x, rows, n, w, c_all, kLowest, 0, y);
  max_row(hn::CappedTag<int32_t, 1>(), x, rows, n, w, c_all, kLowest, 0, y);
}

void mean_row_f32(const float* x, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all, float empty, float* y) {
  const hn::ScalableTag<float> full;
  const hn::CappedTag<float, 4> quarter;
  if (c_all >= static_cast<int64_t>(hn::Lanes(full))) return mean_row(full, x, rows, n, w, c_all, empty, y);
  if (c_all >= static_cast<int64_t>(hn::Lanes(quarter))) return mean_row(quarter, x, rows, n, w, c_all, empty, y);
  mean_row(hn::CappedTag<float, 1>(), x, rows, n, w, c_all, empty, y);
}

constexpr int64_t kChunk = 64;  // channels whose winners are found together

// at[c] = the tap that is the largest of channel c, the first of equals or the last; −1 where nothing beats −∞.
template <bool Last, class T>
HWY_INLINE void winners(const T* x, const int64_t* rows, int64_t n, int64_t taps, int64_t c_all, int64_t channels, T* best,
                        int32_t* at) {
  for (int64_t c = 0; c < channels; ++c) {
    best[c] = -std::numeric_limits<T>::infinity();
    at[c] = -1;
  }
  int32_t tap = 0;
  for (int64_t r = 0; r < n; ++r)
    for (int64_t k = 0; k < taps; ++k, ++tap) {
      const T* p = x + rows[r] + k * c_all;
      for (int64_t c = 0; c < channels; ++c) {
        const bool wins = Last ? p[c] >= best[c] : p[c] > best[c];
        best[c] = wins ? p[c] : best[c];
        at[c] = wins ? tap : at[c];
      }
    }
}

// dx of each window's winner += dy, for channels [0, channels) of one row of outputs.
template <bool Last>
HWY_INLINE void max_gradient(const float* x, const float* dy, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all,
                             int64_t channels, float* dx) {
  float best[kChunk];
  int32_t at[kChunk];
  for (int64_t o = 0; o < w.out; ++o, dy += c_all) {
    const int64_t first = w.first(o), taps = w.last(o) - first, place = (w.begin(o) + first) * c_all;
    for (int64_t c0 = 0; c0 < channels; c0 += kChunk) {
      const int64_t m = channels - c0 < kChunk ? channels - c0 : kChunk;
      winners<Last>(x + place + c0, rows, n, taps, c_all, m, best, at);
      int32_t tap = 0;
      for (int64_t r = 0; r < n; ++r)
        for (int64_t k = 0; k < taps; ++k, ++tap) {
          float* to = dx + place + c0 + rows[r] + k * c_all;
          const float* from = dy + c0;
          for (int64_t c = 0; c < m; ++c) to[c] += at[c] == tap ? from[c] : 0.0f;
        }
    }
  }
}

void max_gradient_first(const float* x, const float* dy, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all,
                        int64_t channels, float* dx) {
  max_gradient<false>(x, dy, rows, n, w, c_all, channels, dx);
}

void max_gradient_last(const float* x, const float* dy, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all,
                       int64_t channels, float* dx) {
  max_gradient<true>(x, dy, rows, n, w, c_all, channels, dx);
}

// Every tap of a window gets an equal share of its dy.
void mean_gradient(const float*, const float* dy, const int64_t* rows, int64_t n, const Axis& w, int64_t c_all, int64_t channels,
                   float* dx) {
  float share[kChunk];
  for (int64_t o = 0; o < w.out; ++o, dy += c_all) {
    const int64_t first = w.first(o), taps = w.last(o) - first, place = (w.begin(o) + first) * c_all;
    if (taps <= 0) continue;
    const float part = 1.0f / static_cast<float>(n * taps);
    for (int64_t c0 = 0; c0 < channels; c0 += kChunk) {
      const int64_t m = channels - c0 < kChunk ? channels - c0 : kChunk;
      for (int64_t c = 0; c < m; ++c) share[c] = dy[c0 + c] * part;
      for (int64_t r = 0; r < n; ++r)
        for (int64_t k = 0; k < taps; ++k) {
          float* to = dx + place + c0 + rows[r] + k * c_all;
          for (int64_t c = 0; c < m; ++c) to[c] += share[c];
        }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(max_row_f32);
HWY_EXPORT(max_row_i32);
HWY_EXPORT(mean_row_f32);
HWY_EXPORT(max_gradient_first);
HWY_EXPORT(max_gradient_last);
HWY_EXPORT(mean_gradient);

namespace {

using GradientRow = void (*)(const float*, const float*, const int64_t*, int64_t, const Axis&, int64_t, int64_t, float*);

// Offsets of the input rows that the windows of output row (od, oh) take, in order.
void rows_of(const Window& s, int64_t od, int64_t oh, std::vector<int64_t>& rows) {
  rows.clear();
  for (int64_t i = s.depth.first(od); i < s.depth.last(od); ++i)
    for (int64_t j = s.height.first(oh); j < s.height.last(oh); ++j)
      rows.push_back(((s.depth.begin(od) + i) * s.height.in + s.height.begin(oh) + j) * s.width.in * s.channels);
}

// Calls row(first input element of the image, rows, output row) for every row of outputs.
template <class Row>
void for_rows(const Window& s, int threads, const Row& row) {
  const int64_t lines = s.depth.out * s.height.out, work = s.width.out * s.channels;
  if (work == 0) return;
  parallel_for(s.batch * lines, std::max<int64_t>(1, (1 << 14) / work), threads, [&](int64_t b, int64_t e) {
    std::vector<int64_t> rows;
    for (int64_t i = b; i < e; ++i) {
      rows_of(s, i % lines / s.height.out, i % s.height.out, rows);
      row(i / lines * s.in_places() * s.channels, rows, i);
    }
  });
}

// Gradients: windows overlap, so one thread has a whole image, or some channels of it where images are few. Rows of dx are
// zeroed just before the first window that meets them.
void scatter(const Window& s, int threads, const float* x, const float* dy, GradientRow row, float* dx) {
  if (s.input_size() == 0) return;
  const int64_t blocks = std::min((s.channels + 15) / 16, std::max<int64_t>(1, (threads + s.batch - 1) / s.batch));
  const int64_t size = s.in_places() * s.channels, line = s.width.in * s.channels, out_line = s.width.out * s.channels;
  const bool flat = s.depth.in == 1;
  const int64_t step = flat ? line : s.height.in * line;  // what is zeroed at once
  parallel_for(s.batch * blocks, std::max<int64_t>(1, (1 << 14) / size), threads, [&](int64_t b, int64_t e) {
    std::vector<int64_t> rows;
    for (int64_t task = b; task < e; ++task) {
      const int64_t image = task / blocks, part = task % blocks, units = (s.channels + 15) / 16;
      const int64_t c0 = std::min(s.channels, units * part / blocks * 16), c1 = std::min(s.channels, units * (part + 1) / blocks * 16);
      float* to = dx + image * size;
      int64_t zeroed = 0;
      auto zero_until = [&](int64_t end) {
        if (end <= zeroed) return;
        if (blocks == 1) std::fill(to + zeroed, to + end, 0.0f);
        else for (int64_t p = zeroed; p < end; p += s.channels) std::fill(to + p + c0, to + p + c1, 0.0f);
        zeroed = end;
      };
      for (int64_t od = 0; od < s.depth.out; ++od)
        for (int64_t oh = 0; oh < s.height.out; ++oh) {
          rows_of(s, od, oh, rows);
          if (rows.empty()) continue;
          zero_until((rows.back() / step + 1) * step);
          row(x ? x + image * size + c0 : nullptr, dy + ((image * s.depth.out + od) * s.height.out + oh) * out_line + c0, rows.data(),
              static_cast<int64_t>(rows.size()), s.width, s.channels, c1 - c0, to + c0);
        }
      zero_until(size);
    }
  });
}

void no_dilation(const Window& s) {
  check(s.depth.dilation == 1 && s.height.dilation == 1 && s.width.dilation == 1, "pooling takes no dilation");
}

}  // namespace

// Arguments: dtype (float32 or int32), the window, x, y.
VQ_OP(MaxPool) {
  const DType dtype = dtype_of(args.number());
  const Window s = window_of(args);
  no_dilation(s);
  const int64_t out_line = s.width.out * s.channels;
  if (dtype == DType::kFloat32) {
    const float* x = args.tensor<float>(s.input_size());
    float* y = args.tensor<float>(s.output_size());
    for_rows(s, args.ctx.threads, [&](int64_t image, const std::vector<int64_t>& rows, int64_t i) {
      HWY_DYNAMIC_DISPATCH(max_row_f32)(x + image, rows.data(), rows.size(), s.width, s.channels, y + i * out_line);
    });
  } else {
    check(dtype == DType::kInt32, "pooling takes float32 or int32");
    const int32_t* x = args.tensor<int32_t>(s.input_size());
    int32_t* y = args.tensor<int32_t>(s.output_size());
    for_rows(s, args.ctx.threads, [&](int64_t image, const std::vector<int64_t>& rows, int64_t i) {
      HWY_DYNAMIC_DISPATCH(max_row_i32)(x + image, rows.data(), rows.size(), s.width, s.channels, y + i * out_line);
    });
  }
}

// The mean over the taps that meet the image. Arguments: dtype (float32 or int32), the window, what a window that meets
// nothing gives, x, y. Means of int32 are cut towards zero.
VQ_OP(AvgPool) {
  const DType dtype = dtype_of(args.number());
  const Window s = window_of(args);
  const float empty = args.real();
  no_dilation(s);
  const int64_t out_line = s.width.out * s.channels;
  if (dtype == DType::kFloat32) {
    const float* x = args.tensor<float>(s.input_size());
    float* y = args.tensor<float>(s.output_size());
    for_rows(s, args.ctx.threads, [&](int64_t image, const std::vector<int64_t>& rows, int64_t i) {
      HWY_DYNAMIC_DISPATCH(mean_row_f32)(x + image, rows.data(), rows.size(), s.width, s.channels, empty, y + i * out_line);
    });
    return;
  }
  check(dtype == DType::kInt32, "pooling takes float32 or int32");
  const int32_t* x = args.tensor<int32_t>(s.input_size());
  int32_t* y = args.tensor<int32_t>(s.output_size());
  for_rows(s, args.ctx.threads, [&](int64_t image, const std::vector<int64_t>& rows, int64_t i) {
    for (int64_t o = 0; o < s.width.out; ++o)
      for (int64_t c = 0; c < s.channels; ++c) {
        int64_t sum = 0, count = 0;
        for (int64_t row : rows)
          for (int64_t k = s.width.first(o); k < s.width.last(o); ++k, ++count)
            sum += x[image + row + (s.width.begin(o) + k) * s.channels + c];
        y[i * out_line + o * s.channels + c] = static_cast<int32_t>(count ? sum / count : 0);
      }
  });
}

// Arguments: whether the last of equals wins, the window, x, dy, dx.
VQ_OP(MaxPoolGrad) {
  const bool last = args.flag();
  const Window s = window_of(args);
  no_dilation(s);
  const float *x = args.tensor<float>(s.input_size()), *dy = args.tensor<float>(s.output_size());
  float* dx = args.tensor<float>(s.input_size());
  scatter(s, args.ctx.threads, x, dy, last ? HWY_DYNAMIC_DISPATCH(max_gradient_last) : HWY_DYNAMIC_DISPATCH(max_gradient_first), dx);
}

// Arguments: the window, dy, dx.
VQ_OP(AvgPoolGrad) {
  const Window s = window_of(args);
  no_dilation(s);
  const float* dy = args.tensor<float>(s.output_size());
  float* dx = args.tensor<float>(s.input_size());
  scatter(s, args.ctx.threads, nullptr, dy, HWY_DYNAMIC_DISPATCH(mean_gradient), dx);
}

// Where each maximum of MaxPool stands: (row · width + column) · channels + channel, plus the image's offset if asked for; −1
// where nothing beats −∞. Arguments: whether to count images, dtype (float32 or int32), the window, x, indices.
VQ_OP(MaxPoolPositions) {
  const bool images = args.flag();
  const DType dtype = dtype_of(args.number());
  const Window s = window_of(args);
  no_dilation(s);
  const int64_t line = s.width.out * s.channels;
  auto find = [&](const auto* x) {
    int32_t* at = args.tensor<int32_t>(s.output_size());
    for_rows(s, args.ctx.threads, [&](int64_t image, const std::vector<int64_t>& rows, int64_t i) {
      for (int64_t o = 0; o < s.width.out; ++o)
        for (int64_t c = 0; c < s.channels; ++c) {
          int64_t where = -1;
          for (int64_t row : rows)
            for (int64_t k = s.width.first(o); k < s.width.last(o); ++k) {
              const int64_t place = row + (s.width.begin(o) + k) * s.channels + c;
              const double best = where < 0 ? -std::numeric_limits<double>::infinity() : static_cast<double>(x[image + where]);
              if (static_cast<double>(x[image + place]) > best) where = place;
            }
          at[i * line + o * s.channels + c] = static_cast<int32_t>(where < 0 ? -1 : images ? image + where : where);
        }
    });
  };
  if (dtype == DType::kFloat32) find(args.tensor<float>(s.input_size()));
  else find(args.tensor<int32_t>(s.input_size()));
}

}  // namespace vq
#endif
