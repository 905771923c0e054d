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
constexpr int kPoints = 36;
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

// Transforms the tile that `rows` points to into point-major planes: to[point · plane + channel].
template <class T>
void into_planes(const TileRows& rows, int64_t channels, int64_t plane, float* to) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = 0; k < channels; k += lanes) {
    V in[T::kFrom * T::kFrom], out[T::kTo * T::kTo];
    for (int i = 0; i < T::kFrom * T::kFrom; ++i) in[i] = rows.in[i] ? hn::LoadU(d, rows.in[i] + k) : hn::Zero(d);
    both_ways<T>(in, out);
    for (int i = 0; i < T::kTo * T::kTo; ++i) hn::StoreU(out[i], d, to + i * plane + k);
  }
}
void input_planes(const TileRows& rows, int64_t channels, int64_t plane, float* to) {
  into_planes<InputTransform>(rows, channels, plane, to);
}
void gradient_planes(const TileRows& rows, int64_t channels, int64_t plane, float* to) {
  into_planes<GradientTransform>(rows, channels, plane, to);
}

// The other way: planes to the h × w places (at most 4 × 4) at y, whose rows are `row` apart.
void output_tile(const float* from, int64_t plane, int64_t channels, const float* bias, bool relu, int64_t h, int64_t w,
                 int64_t row, float* y) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = 0; k < channels; k += lanes) {
    V in[kPoints], out[16];
    for (int i = 0; i < kPoints; ++i) in[i] = hn::LoadU(d, from + i * plane + k);
    both_ways<OutputTransform>(in, out);
    const V b = bias ? hn::LoadU(d, bias + k) : hn::Zero(d);
    for (int64_t r = 0; r < h; ++r)
      for (int64_t c = 0; c < w; ++c) {
        const V v = hn::Add(out[r * 4 + c], b);
        hn::StoreU(relu ? hn::IfThenElse(hn::Lt(v, hn::Zero(d)), hn::Zero(d), v) : v, d, y + r * row + c * channels + k);
      }
  }
}

// Filter rows [begin, end) of in_c × out_c values per tap to 36 planes; taps reversed where `flip`.
void filter_planes(const float* w, int64_t begin, int64_t end, int64_t size, bool flip, float* to) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = begin; k < end; k += lanes) {
    V in[9], out[kPoints];
    for (int i = 0; i < 9; ++i) in[i] = hn::LoadU(d, w + (flip ? 8 - i : i) * size + k);
    both_ways<FilterTransform>(in, out);
    for (int i = 0; i < kPoints; ++i) hn::StoreU(out[i], d, to + i * size + k);
  }
}

void filter_from_planes(const float* from, int64_t begin, int64_t end, int64_t size, float* dw) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = begin; k < end; k += lanes) {
    V in[kPoints], out[9];
    for (int i = 0; i < kPoints; ++i) in[i] = hn::LoadU(d, from + i * size + k);
    both_ways<FilterGradientTransform>(in, out);
    for (int i = 0; i < 9; ++i) hn::StoreU(out[i], d, dw + i * size + k);
  }
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

// Tiles of 4 × 4 outputs, image by image.
struct Tiles {
  int64_t down, across, total, block;
  Tiles(const Convolution& s, int64_t h, int64_t w) : down((h + 3) / 4), across((w + 3) / 4), total(s.batch * down * across) {
    // A block's planes are about 5 MB, so that they wait for their products in the last cache.
    block = std::min(total, std::max<int64_t>(16, (int64_t{1} << 20) * 5 / 4 / (kPoints * std::max(s.in_c, s.out_c))));
  }
};

// The size × size places from (top, left) of an image.
void point_at(const float* image, int64_t h, int64_t w, int64_t channels, int64_t top, int64_t left, int size, TileRows& rows) {
  for (int r = 0; r < size; ++r)
    for (int c = 0; c < size; ++c) {
      const int64_t y = top + r, x = left + c;
      rows.in[r * size + c] = y >= 0 && x >= 0 && y < h && x < w ? image + (y * w + x) * channels : nullptr;
    }
}

void transform_filter(Context& c, const float* w, int64_t size, bool flip, float* planes) {
  parallel_for(size / kMultiple, 64, c.threads, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(filter_planes)(w, b * kMultiple, e * kMultiple, size, flip, planes);
  });
}

// Input places of the tiles [first, first + n) into planes [36][n][channels].
void transform_input(Context& c, const Tiles& t, const float* x, int64_t h, int64_t w, int64_t channels, int64_t pad_top,
                     int64_t pad_left, int64_t first, int64_t n, float* planes) {
  parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
    TileRows rows;
    for (int64_t i = b; i < e; ++i) {
      const int64_t tile = first + i, image = tile / (t.down * t.across), at = tile % (t.down * t.across);
      point_at(x + image * h * w * channels, h, w, channels, at / t.across * 4 - pad_top, at % t.across * 4 - pad_left, 6, rows);
      HWY_DYNAMIC_DISPATCH(input_planes)(rows, channels, n * channels, planes + i * channels);
    }
  });
}

// One thread per product: the 36 products of a block share nothing but their inputs.
template <class Product>
void for_points(Context& c, const Product& product) {
  parallel_for(kPoints, 1, c.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) product(i);
  });
}

// y = conv(x) with padding (pad_top, pad_left); `flip` for the gradient by input, where the filter is [in of y][in of x].
void run(Context& c, const Convolution& s, int64_t in_h, int64_t in_w, int64_t in_c, int64_t out_h, int64_t out_w, int64_t out_c,
         int64_t pad_top, int64_t pad_left, bool flip, const float* x, const float* w, const float* bias, Activation act, float* y) {
  const Tiles t(s, out_h, out_w);
  const int64_t size = in_c * out_c;
  float* filter = static_cast<float*>(c.scratch((kPoints * size + kPoints * t.block * (in_c + out_c)) * sizeof(float)));
  float *in = filter + kPoints * size, *out = in + kPoints * t.block * in_c;
  transform_filter(c, w, size, flip, filter);
  for (int64_t first = 0; first < t.total; first += t.block) {
    const int64_t n = std::min(t.block, t.total - first);
    transform_input(c, t, x, in_h, in_w, in_c, pad_top, pad_left, first, n, in);
    for_points(c, [&](int64_t i) {
      matrix_product_alone(false, flip, n, out_c, in_c, in + i * n * in_c, filter + i * size, 0.f, out + i * n * out_c);
    });
    parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t tile = first + i, image = tile / (t.down * t.across), at = tile % (t.down * t.across);
        const int64_t top = at / t.across * 4, left = at % t.across * 4;
        HWY_DYNAMIC_DISPATCH(output_tile)(out + i * out_c, n * out_c, out_c, bias, act == Activation::kRelu, std::min<int64_t>(4, out_h - top),
                                          std::min<int64_t>(4, out_w - left), out_w * out_c,
                                          y + ((image * out_h + top) * out_w + left) * out_c);
      }
    });
  }
}

}  // namespace

bool winograd_fits(const Convolution& s) {
  const int64_t covered = (s.out_h + 3) / 4 * ((s.out_w + 3) / 4) * 16;
  return s.kernel_h == 3 && s.kernel_w == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.in_c % kMultiple == 0 && s.out_c % kMultiple == 0 && s.in_c >= 32 && s.out_c >= 32 && s.pad_top <= 2 && s.pad_left <= 2 &&
         s.pad_bottom <= 2 && s.pad_right <= 2 && s.batch * covered >= 1024 && covered * 10 <= s.out_h * s.out_w * 16;
}

void winograd_forward(Context& c, const Convolution& s, const float* x, const float* w, const float* bias, Activation act, float* y) {
  run(c, s, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c, s.pad_top, s.pad_left, false, x, w, bias, act, y);
}

void winograd_backward_input(Context& c, const Convolution& s, const float* dy, const float* w, float* dx) {
  run(c, s, s.out_h, s.out_w, s.out_c, s.in_h, s.in_w, s.in_c, 2 - s.pad_top, 2 - s.pad_left, true, dy, w, nullptr, Activation::kNone, dx);
}

// The transpose of the forward algorithm by its filter: dU = Vᵀ·(A dY Aᵀ), dw = Gᵀ dU G.
void winograd_backward_filter(Context& c, const Convolution& s, const float* x, const float* dy, float* dw) {
  const Tiles t(s, s.out_h, s.out_w);
  const int64_t size = s.in_c * s.out_c;
  float* filter = static_cast<float*>(c.scratch((kPoints * size + kPoints * t.block * (s.in_c + s.out_c)) * sizeof(float)));
  float *in = filter + kPoints * size, *out = in + kPoints * t.block * s.in_c;
  for (int64_t first = 0; first < t.total; first += t.block) {
    const int64_t n = std::min(t.block, t.total - first);
    transform_input(c, t, x, s.in_h, s.in_w, s.in_c, s.pad_top, s.pad_left, first, n, in);
    parallel_for(n, 4, c.threads, [&](int64_t b, int64_t e) {
      TileRows rows;
      for (int64_t i = b; i < e; ++i) {
        const int64_t tile = first + i, image = tile / (t.down * t.across), at = tile % (t.down * t.across);
        point_at(dy + image * s.out_h * s.out_w * s.out_c, s.out_h, s.out_w, s.out_c, at / t.across * 4, at % t.across * 4, 4, rows);
        HWY_DYNAMIC_DISPATCH(gradient_planes)(rows, s.out_c, n * s.out_c, out + i * s.out_c);
      }
    });
    for_points(c, [&](int64_t i) {
      matrix_product_alone(true, false, s.in_c, s.out_c, n, in + i * n * s.in_c, out + i * n * s.out_c, first == 0 ? 0.f : 1.f,
                           filter + i * size);
    });
  }
  parallel_for(size / kMultiple, 64, c.threads, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(filter_from_planes)(filter, b * kMultiple, e * kMultiple, size, dw);
  });
}

}  // namespace vq
#endif  // HWY_ONCE
