#include "vq/winograd.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/winograd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef VQ_WINOGRAD_ONCE
#define VQ_WINOGRAD_ONCE
namespace vq {
// Pointers to the places of one tile, row by row; null outside the image.
struct TileRows {
  const float* in[36];
};
constexpr int64_t kMultiple = 16;  // channels come in whole vectors of every instruction set
}  // namespace vq
#endif

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

HWY_INLINE V times(float k, V v) { return hn::Mul(hn::Set(D(), k), v); }
HWY_INLINE V fma(float k, V a, V b) { return hn::MulAdd(hn::Set(D(), k), a, b); }  // k·a + b

// F(4, 3) at the points 0, ±1, ±2, ∞.
// Bᵀ: what a row or column of six inputs becomes.
struct InputTransform {
  static constexpr int kFrom = 6, kTo = 6;
  static HWY_INLINE void apply(const V* d, V* o) {
    const V a = fma(-4.f, d[2], d[4]), b = fma(-4.f, d[1], d[3]);
    const V c = hn::Sub(d[4], d[2]), e = times(2.f, hn::Sub(d[3], d[1]));
    o[0] = fma(4.f, d[0], fma(-5.f, d[2], d[4]));
    o[1] = hn::Add(a, b);
    o[2] = hn::Sub(a, b);
    o[3] = hn::Add(c, e);
    o[4] = hn::Sub(c, e);
    o[5] = fma(4.f, d[1], fma(-5.f, d[3], d[5]));
  }
};

// Aᵀ: six products to four outputs.
struct OutputTransform {
  static constexpr int kFrom = 6, kTo = 4;
  static HWY_INLINE void apply(const V* m, V* o) {
    const V a = hn::Add(m[1], m[2]), b = hn::Sub(m[1], m[2]), c = hn::Add(m[3], m[4]), e = hn::Sub(m[3], m[4]);
    o[0] = hn::Add(hn::Add(m[0], a), c);
    o[1] = fma(2.f, e, b);
    o[2] = fma(4.f, c, a);
    o[3] = hn::Add(fma(8.f, e, b), m[5]);
  }
};

// A: the transpose of the last, four gradients to six.
struct GradientTransform {
  static constexpr int kFrom = 4, kTo = 6;
  static HWY_INLINE void apply(const V* g, V* o) {
    const V a = hn::Add(g[0], g[2]), b = hn::Add(g[1], g[3]);
    const V c = fma(4.f, g[2], g[0]), e = fma(8.f, g[3], times(2.f, g[1]));
    o[0] = g[0];
    o[1] = hn::Add(a, b);
    o[2] = hn::Sub(a, b);
    o[3] = hn::Add(c, e);
    o[4] = hn::Sub(c, e);
    o[5] = g[3];
  }
};

// G: three filter taps to six points.
struct FilterTransform {
  static constexpr int kFrom = 3, kTo = 6;
  static HWY_INLINE void apply(const V* g, V* o) {
    const V a = times(-1.f / 6, hn::Add(g[0], g[2])), b = times(-1.f / 6, g[1]);
    const V c = fma(1.f / 24, g[0], times(1.f / 6, g[2])), e = times(1.f / 12, g[1]);
    o[0] = times(0.25f, g[0]);
    o[1] = hn::Add(a, b);
    o[2] = hn::Sub(a, b);
    o[3] = hn::Add(c, e);
    o[4] = hn::Sub(c, e);
    o[5] = g[2];
  }
};

// Gᵀ: the transpose, for the filter's gradient.
struct FilterGradientTransform {
  static constexpr int kFrom = 6, kTo = 3;
  static HWY_INLINE void apply(const V* u, V* o) {
    const V a = hn::Add(u[1], u[2]), b = hn::Sub(u[1], u[2]), c = hn::Add(u[3], u[4]), e = hn::Sub(u[3], u[4]);
    o[0] = fma(0.25f, u[0], fma(-1.f / 6, a, times(1.f / 24, c)));
    o[1] = fma(-1.f / 6, b, times(1.f / 12, e));
    o[2] = hn::Add(fma(-1.f / 6, a, times(1.f / 6, c)), u[5]);
  }
};

// F(4, 2) at the points 0, ±1, 2, ∞: the same five for two taps.
struct InputTransform2 {
  static constexpr int kFrom = 5, kTo = 5;
  static HWY_INLINE void apply(const V* d, V* o) {
    const V a = hn::Sub(d[3], d[1]);
    o[0] = fma(2.f, hn::Sub(d[0], d[2]), a);
    o[1] = hn::Sub(fma(-2.f, d[1], d[3]), d[2]);
    o[2] = fma(2.f, d[1], fma(-3.f, d[2], d[3]));
    o[3] = a;
    o[4] = fma(-2.f, a, hn::Sub(d[4], d[2]));
  }
};
struct OutputTransform2 {
  static constexpr int kFrom = 5, kTo = 4;
  static HWY_INLINE void apply(const V* m, V* o) {
    const V a = hn::Add(m[1], m[2]), b = hn::Sub(m[1], m[2]);
    o[0] = hn::Add(hn::Add(m[0], a), m[3]);
    o[1] = fma(2.f, m[3], b);
    o[2] = fma(4.f, m[3], a);
    o[3] = hn::Add(fma(8.f, m[3], b), m[4]);
  }
};
struct GradientTransform2 {
  static constexpr int kFrom = 4, kTo = 5;
  static HWY_INLINE void apply(const V* g, V* o) {
    const V a = hn::Add(g[0], g[2]), b = hn::Add(g[1], g[3]);
    o[0] = g[0];
    o[1] = hn::Add(a, b);
    o[2] = hn::Sub(a, b);
    o[3] = hn::Add(fma(4.f, g[2], g[0]), fma(8.f, g[3], times(2.f, g[1])));
    o[4] = g[3];
  }
};
struct FilterTransform2 {
  static constexpr int kFrom = 2, kTo = 5;
  static HWY_INLINE void apply(const V* g, V* o) {
    o[0] = times(0.5f, g[0]);
    o[1] = times(-0.5f, hn::Add(g[0], g[1]));
    o[2] = times(-1.f / 6, hn::Sub(g[0], g[1]));
    o[3] = fma(1.f / 3, g[1], times(1.f / 6, g[0]));
    o[4] = g[1];
  }
};
struct FilterGradientTransform2 {
  static constexpr int kFrom = 5, kTo = 2;
  static HWY_INLINE void apply(const V* u, V* o) {
    const V a = times(-0.5f, u[1]), b = times(1.f / 6, u[2]);
    o[0] = hn::Add(fma(0.5f, u[0], a), fma(1.f / 6, u[3], hn::Neg(b)));
    o[1] = hn::Add(hn::Add(a, b), fma(1.f / 3, u[3], u[4]));
  }
};

// T·block·Tᵀ of a kFrom × kFrom block of vectors.
template <class T>
HWY_INLINE void both_ways(const V* in, V* out) {
  V half[T::kTo * T::kFrom];
  for (int c = 0; c < T::kFrom; ++c) {
    V column[T::kFrom], to[T::kTo];
    for (int r = 0; r < T::kFrom; ++r) column[r] = in[r * T::kFrom + c];
    T::apply(column, to);
    for (int r = 0; r < T::kTo; ++r) half[r * T::kFrom + c] = to[r];
  }
  for (int r = 0; r < T::kTo; ++r) T::apply(half + r * T::kFrom, out + r * T::kTo);
}

// Transforms blocks whose k-th value of place i is from[i][k] into to[i · plane + k], for k in [begin, end). A null
// place is zero.
template <class T>
void transform(const float* const* from, int64_t begin, int64_t end, int64_t plane, float* to) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = begin; k < end; k += lanes) {
    V in[T::kFrom * T::kFrom], out[T::kTo * T::kTo];
    for (int i = 0; i < T::kFrom * T::kFrom; ++i) in[i] = from[i] ? hn::LoadU(d, from[i] + k) : hn::Zero(d);
    both_ways<T>(in, out);
    for (int i = 0; i < T::kTo * T::kTo; ++i) hn::StoreU(out[i], d, to + i * plane + k);
  }
}
void input_planes(int taps, const TileRows& rows, int64_t channels, int64_t plane, float* to) {
  if (taps == 3) transform<InputTransform>(rows.in, 0, channels, plane, to);
  else transform<InputTransform2>(rows.in, 0, channels, plane, to);
}
void gradient_planes(int taps, const TileRows& rows, int64_t channels, int64_t plane, float* to) {
  if (taps == 3) transform<GradientTransform>(rows.in, 0, channels, plane, to);
  else transform<GradientTransform2>(rows.in, 0, channels, plane, to);
}
void filter_planes(int taps, const float* const* tap, int64_t begin, int64_t end, int64_t plane, float* to) {
  if (taps == 3) transform<FilterTransform>(tap, begin, end, plane, to);
  else transform<FilterTransform2>(tap, begin, end, plane, to);
}

// Planes to the h × w places (at most 4 × 4) at y, whose rows and columns are `row` and `column` apart.
template <class T>
void output_tile_of(const float* from, int64_t plane, int64_t channels, const float* bias, bool relu, int64_t h, int64_t w,
                    int64_t row, int64_t column, float* y) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = 0; k < channels; k += lanes) {
    V in[T::kFrom * T::kFrom], out[16];
    for (int i = 0; i < T::kFrom * T::kFrom; ++i) in[i] = hn::LoadU(d, from + i * plane + k);
    both_ways<T>(in, out);
    const V b = bias ? hn::LoadU(d, bias + k) : hn::Zero(d);
    for (int64_t r = 0; r < h; ++r)
      for (int64_t c = 0; c < w; ++c) {
        const V v = hn::Add(out[r * 4 + c], b);
        hn::StoreU(relu ? hn::IfThenElse(hn::Lt(v, hn::Zero(d)), hn::Zero(d), v) : v, d, y + r * row + c * column + k);
      }
  }
}
void output_tile(int taps, const float* from, int64_t plane, int64_t channels, const float* bias, bool relu, int64_t h, int64_t w,
                 int64_t row, int64_t column, float* y) {
  if (taps == 3) output_tile_of<OutputTransform>(from, plane, channels, bias, relu, h, w, row, column, y);
  else output_tile_of<OutputTransform2>(from, plane, channels, bias, relu, h, w, row, column, y);
}

// Planes to the taps of a filter's gradient.
template <class T>
void filter_from_planes_of(const float* from, int64_t plane, int64_t begin, int64_t end, float* const* tap) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = begin; k < end; k += lanes) {
    V in[T::kFrom * T::kFrom], out[T::kTo * T::kTo];
    for (int i = 0; i < T::kFrom * T::kFrom; ++i) in[i] = hn::LoadU(d, from + i * plane + k);
    both_ways<T>(in, out);
    for (int i = 0; i < T::kTo * T::kTo; ++i) hn::StoreU(out[i], d, tap[i] + k);
  }
}
void filter_from_planes(int taps, const float* from, int64_t plane, int64_t begin, int64_t end, float* const* tap) {
  if (taps == 3) filter_from_planes_of<FilterGradientTransform>(from, plane, begin, end, tap);
  else filter_from_planes_of<FilterGradientTransform2>(from, plane, begin, end, tap);
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(input_planes);
HWY_EXPORT(gradient_planes);
HWY_EXPORT(output_tile);
HWY_EXPORT(filter_planes);
HWY_EXPORT(filter_from_planes);

namespace {

// What the two shapes have in common. A 4×4 convolution of stride 2 is the sum of four 2×2 convolutions of stride 1, one
// for each parity ("phase") of rows and columns, and its gradient by input is four such convolutions beside each other.
struct Scheme {
  int taps, points, edge, step, phases;
  explicit Scheme(const Convolution& s) : taps(s.stride_h == 1 ? 3 : 2), points(taps == 3 ? 36 : 25), edge(taps + 3),
                                          step(static_cast<int>(s.stride_h)), phases(step * step) {}
  // Tap (i, j) of phase (a, b) in a filter of rows × columns taps of `size` values.
  int64_t tap(int phase, int i, int j, bool flip) const {
    if (flip) i = taps - 1 - i, j = taps - 1 - j;
    return (step * i + phase / step) * (step * taps) + step * j + phase % step;
  }
};

// Tiles of 4 × 4 places of a h × w plane, image by image.
struct Tiles {
  int64_t down, across, total;
  Tiles(int64_t batch, int64_t h, int64_t w) : down((h + 3) / 4), across((w + 3) / 4), total(batch * down * across) {}
  int64_t image(int64_t t) const { return t / (down * across); }
  int64_t top(int64_t t) const { return t % (down * across) / across * 4; }
  int64_t left(int64_t t) const { return t % across * 4; }
};

// The edge × edge places of an image from (top, left), `step` apart.
void point_at(const float* image, int64_t h, int64_t w, int64_t channels, int64_t top, int64_t left, int step, int edge, TileRows& rows) {
  for (int r = 0; r < edge; ++r)
    for (int c = 0; c < edge; ++c) {
      const int64_t y = top + r * step, x = left + c * step;
      rows.in[r * edge + c] = y >= 0 && x >= 0 && y < h && x < w ? image + (y * w + x) * channels : nullptr;
    }
}

// Tiles whose planes, `each` floats a tile, take about so many bytes: what the last cache holds until their products are made.
int64_t block_of(const Tiles& t, int64_t each, int64_t bytes) {
  return std::max<int64_t>(1, std::min(t.total, std::max<int64_t>(16, bytes / 4 / each)));
}
constexpr int64_t kCached = int64_t{10} << 20, kStreamed = int64_t{40} << 20;

// The filter's phase into planes `plane` floats apart.
void transform_filter(Context& c, const Scheme& f, const float* w, int64_t size, int phase, bool flip, int64_t plane, float* to) {
  const float* tap[9];
  for (int i = 0; i < f.taps; ++i)
    for (int j = 0; j < f.taps; ++j) tap[i * f.taps + j] = w + f.tap(phase, i, j, flip) * size;
  parallel_for(size / kMultiple, 64, c.threads, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(filter_planes)(f.taps, tap, b * kMultiple, e * kMultiple, plane, to);
  });
}

// Every phase of x under the tiles [first, first + n): planes [points][n][phases · channels].
void transform_input(Context& c, const Scheme& f, const Convolution& s, const Tiles& t, const float* x, int64_t first, int64_t n, float* planes) {
  const int64_t width = f.phases * s.in_c;
  parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
    TileRows rows;
    for (int64_t i = b; i < e; ++i)
      for (int phase = 0; phase < f.phases; ++phase) {
        const float* image = x + t.image(first + i) * s.in_h * s.in_w * s.in_c;
        point_at(image, s.in_h, s.in_w, s.in_c, f.step * t.top(first + i) + phase / f.step - s.pad_top,
                 f.step * t.left(first + i) + phase % f.step - s.pad_left, f.step, f.edge, rows);
        HWY_DYNAMIC_DISPATCH(input_planes)(f.taps, rows, s.in_c, n * width, planes + i * width + phase * s.in_c);
      }
  });
}

// One thread per product: the products of a block share nothing but their inputs.
template <class Product>
void for_points(Context& c, const Scheme& f, const Product& product) {
  parallel_for(f.points, 1, c.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) product(i);
  });
}

}  // namespace

bool winograd_fits(const Convolution& s) {
  const int64_t covered = (s.out_h + 3) / 4 * ((s.out_w + 3) / 4) * 16, k = s.kernel_h, stride = s.stride_h;
  return s.planar && s.kernel_w == k && s.stride_w == stride && ((k == 3 && stride == 1) || (k == 4 && stride == 2)) && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.in_c % kMultiple == 0 && s.out_c % kMultiple == 0 && s.in_c >= 32 && s.out_c >= 32 && s.pad_top < k &&
         s.pad_left < k && s.pad_bottom < k && s.pad_right < k && s.batch * covered >= 1024 && covered * 10 <= s.out_h * s.out_w * 16;
}

void winograd_forward(Context& c, const Convolution& s, const float* x, const float* w, const float* bias, Activation act, float* y) {
  const Scheme f(s);
  const Tiles t(s.batch, s.out_h, s.out_w);
  const int64_t size = s.in_c * s.out_c, width = f.phases * s.in_c;
  const int64_t block = block_of(t, f.points * (width + s.out_c), kCached);
  float* filter = static_cast<float*>(c.scratch(f.points * (f.phases * size + block * (width + s.out_c)) * sizeof(float)));
  float *in = filter + f.points * f.phases * size, *out = in + f.points * block * width;
  for (int phase = 0; phase < f.phases; ++phase)
    transform_filter(c, f, w, size, phase, false, f.phases * size, filter + phase * size);
  for (int64_t first = 0; first < t.total; first += block) {
    const int64_t n = std::min(block, t.total - first);
    transform_input(c, f, s, t, x, first, n, in);
    for_points(c, f, [&](int64_t i) {
      matrix_product_alone(false, false, n, s.out_c, width, in + i * n * width, filter + i * f.phases * size, 0.f, out + i * n * s.out_c);
    });
    parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t top = t.top(first + i), left = t.left(first + i);
        HWY_DYNAMIC_DISPATCH(output_tile)(f.taps, out + i * s.out_c, n * s.out_c, s.out_c, bias, act == Activation::kRelu,
                                          std::min<int64_t>(4, s.out_h - top), std::min<int64_t>(4, s.out_w - left), s.out_w * s.out_c, s.out_c,
                                          y + ((t.image(first + i) * s.out_h + top) * s.out_w + left) * s.out_c);
      }
    });
  }
}

// dx at (step·r + a − pad_top, …) is phase (a, b) of the filter, turned round, over dy from row r − taps + 1.
void winograd_backward_input(Context& c, const Convolution& s, const float* dy, const float* w, float* dx) {
  const Scheme f(s);
  const int64_t size = s.in_c * s.out_c;
  // First place of a phase's own grid, and how many there are, along one axis.
  auto begins = [&](int64_t pad, int64_t a) { return (std::max<int64_t>(0, pad - a) + f.step - 1) / f.step; };
  auto counts = [&](int64_t pad, int64_t a, int64_t n) { return (n - 1 + pad - a) / f.step - begins(pad, a) + 1; };
  for (int phase = 0; phase < f.phases; ++phase) {
    const int64_t a = phase / f.step, b_ = phase % f.step, r0 = begins(s.pad_top, a), c0 = begins(s.pad_left, b_);
    const int64_t h = counts(s.pad_top, a, s.in_h), width = counts(s.pad_left, b_, s.in_w);
    if (h <= 0 || width <= 0) continue;
    const Tiles t(s.batch, h, width);
    const int64_t block = block_of(t, f.points * (s.in_c + s.out_c), kCached);
    float* filter = static_cast<float*>(c.scratch(f.points * (size + block * (s.in_c + s.out_c)) * sizeof(float)));
    float *in = filter + f.points * size, *out = in + f.points * block * s.out_c;
    transform_filter(c, f, w, size, phase, true, size, filter);
    for (int64_t first = 0; first < t.total; first += block) {
      const int64_t n = std::min(block, t.total - first);
      parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
        TileRows rows;
        for (int64_t i = b; i < e; ++i) {
          const float* image = dy + t.image(first + i) * s.out_h * s.out_w * s.out_c;
          point_at(image, s.out_h, s.out_w, s.out_c, t.top(first + i) + r0 - f.taps + 1, t.left(first + i) + c0 - f.taps + 1, 1, f.edge, rows);
          HWY_DYNAMIC_DISPATCH(input_planes)(f.taps, rows, s.out_c, n * s.out_c, in + i * s.out_c);
        }
      });
      for_points(c, f, [&](int64_t i) {
        matrix_product_alone(false, true, n, s.in_c, s.out_c, in + i * n * s.out_c, filter + i * size, 0.f, out + i * n * s.in_c);
      });
      parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
        for (int64_t i = b; i < e; ++i) {
          const int64_t top = t.top(first + i), left = t.left(first + i);
          const int64_t y = f.step * (r0 + top) + a - s.pad_top, x = f.step * (c0 + left) + b_ - s.pad_left;
          HWY_DYNAMIC_DISPATCH(output_tile)(f.taps, out + i * s.in_c, n * s.in_c, s.in_c, nullptr, false, std::min<int64_t>(4, h - top),
                                            std::min<int64_t>(4, width - left), f.step * s.in_w * s.in_c, f.step * s.in_c,
                                            dx + ((t.image(first + i) * s.in_h + y) * s.in_w + x) * s.in_c);
        }
      });
    }
  }
}

// The transpose of the forward algorithm by its filter: dU = Vᵀ·(A dY Aᵀ), dw = Gᵀ dU G.
void winograd_backward_filter(Context& c, const Convolution& s, const float* x, const float* dy, float* dw) {
  const Scheme f(s);
  const Tiles t(s.batch, s.out_h, s.out_w);
  const int64_t size = s.in_c * s.out_c, width = f.phases * s.in_c;
  const int64_t block = block_of(t, f.points * (width + s.out_c), kStreamed);
  float* filter = static_cast<float*>(c.scratch(f.points * (f.phases * size + block * (width + s.out_c)) * sizeof(float)));
  float *in = filter + f.points * f.phases * size, *out = in + f.points * block * width;
  for (int64_t first = 0; first < t.total; first += block) {
    const int64_t n = std::min(block, t.total - first);
    transform_input(c, f, s, t, x, first, n, in);
    parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
      TileRows rows;
      for (int64_t i = b; i < e; ++i) {
        const float* image = dy + t.image(first + i) * s.out_h * s.out_w * s.out_c;
        point_at(image, s.out_h, s.out_w, s.out_c, t.top(first + i), t.left(first + i), 1, 4, rows);
        HWY_DYNAMIC_DISPATCH(gradient_planes)(f.taps, rows, s.out_c, n * s.out_c, out + i * s.out_c);
      }
    });
    for_points(c, f, [&](int64_t i) {
      matrix_product_alone(true, false, width, s.out_c, n, in + i * n * width, out + i * n * s.out_c, first == 0 ? 0.f : 1.f,
                           filter + i * f.phases * size);
    });
  }
  for (int phase = 0; phase < f.phases; ++phase) {
    float* tap[9];
    for (int i = 0; i < f.taps; ++i)
      for (int j = 0; j < f.taps; ++j) tap[i * f.taps + j] = dw + f.tap(phase, i, j, false) * size;
    parallel_for(size / kMultiple, 64, c.threads, [&](int64_t b, int64_t e) {
      HWY_DYNAMIC_DISPATCH(filter_from_planes)(f.taps, filter + phase * size, f.phases * size, b * kMultiple, e * kMultiple, tap);
    });
  }
}

}  // namespace vq
#endif  // HWY_ONCE
