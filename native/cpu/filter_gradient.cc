#include "vq/filter_gradient.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/filter_gradient.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A register tile: input channels × vectors of output channels. Broadcasts are the narrow port, so rows are few.
constexpr int kRows = 6;
constexpr int kVectors = HWY_MAX_BYTES >= 64 ? 4 : 2;

// dw[r, 0..width) += Σ x[place][r] · panel[place] for `Rows` input channels and kVectors vectors of output channels. Places
// come in runs of neighbours in the panel, which lie `step` floats apart in x: run k starts at starts[k] · unit. Meanwhile what
// lies from `ahead` on comes into the second cache, `haste` bytes with each place.
template <int Rows>
void tile(const float* x, const int64_t* starts, int64_t unit, int64_t step, int64_t runs, int64_t length, const float* panel,
          float* dw, int64_t stride, int64_t width, const char* ahead, int64_t haste) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  using V = hn::Vec<decltype(d)>;
  V sum[Rows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = hn::Zero(d);
      __builtin_prefetch(dw + r * stride + v * lanes, 1);
    }
  }
  for (int64_t k = 0; k < runs; ++k) {
    const float* row = x + starts[k] * unit;
    for (int64_t p = 0; p < length; ++p, panel += kVectors * lanes, row += step, ahead += haste) {
      __builtin_prefetch(ahead, 0, 2);
      V g[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) g[v] = hn::LoadU(d, panel + v * lanes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const V s = hn::Set(d, row[r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(s, g[v], sum[r][v]);
      }
    }
  }
  if (width >= kVectors * lanes) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        float* o = dw + r * stride + v * lanes;
        hn::StoreU(hn::Add(hn::LoadU(d, o), sum[r][v]), d, o);
      }
    }
    return;
  }
  HWY_ALIGN float part[kVectors * hn::MaxLanes(d)];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, part + v * lanes);
    for (int64_t k = 0; k < width; ++k) dw[r * stride + k] += part[k];
  }
}

template <int Rows>
void narrow(int64_t rows, const float* x, const int64_t* starts, int64_t unit, int64_t step, int64_t runs, int64_t length,
            const float* panel, float* dw, int64_t stride, int64_t width, const char* ahead, int64_t haste) {
  if constexpr (Rows > 0) {
    if (rows == Rows) return tile<Rows>(x, starts, unit, step, runs, length, panel, dw, stride, width, ahead, haste);
    narrow<Rows - 1>(rows, x, starts, unit, step, runs, length, panel, dw, stride, width, ahead, haste);
  }
}

int64_t panel_width() { return kVectors * static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>())); }
int64_t tile_rows() { return kRows; }

// Input channels [0, channels) of `places` rows, as tiles of kRows channels: [tile][place][channel].
void pack_rows(const float* const* rows, int64_t channels, int64_t places, float* to) {
  constexpr int64_t kGroup = 16;  // rows that fit the first cache while every tile takes its part of them
  for (int64_t first = 0; first < places; first += kGroup) {
    const int64_t last = std::min(places, first + kGroup);
    int64_t i = 0;
    for (; i + kRows <= channels; i += kRows) {
      float* t = to + i * places + first * kRows;
      for (int64_t p = first; p < last; ++p, t += kRows) std::memcpy(t, rows[p] + i, kRows * sizeof(float));
    }
    float* t = to + i * places + first * (channels - i);
    for (int64_t p = first; p < last; ++p, t += channels - i) std::memcpy(t, rows[p] + i, (channels - i) * sizeof(float));
  }
}

// One tap and one panel of output channels, all input channels: packed as tiles of `places`, or where places is 0 as they
// are in the image.
void tap_gradient(const float* x, int64_t channels, int64_t places, const int64_t* starts, int64_t unit, int64_t step, int64_t runs,
                  int64_t length, const float* panel, float* dw, int64_t out_c, int64_t width, const char* ahead, int64_t haste) {
  int64_t i = 0;
  const int64_t next = places > 0 ? places : 1;
  if (places > 0) unit = step = kRows;
  for (; i + kRows <= channels; i += kRows, ahead += runs * length * haste)
    tile<kRows>(x + i * next, starts, unit, step, runs, length, panel, dw + i * out_c, out_c, width, ahead, haste);
  if (places > 0) unit = step = channels - i;
  if (i < channels)
    narrow<kRows - 1>(channels - i, x + i * next, starts, unit, step, runs, length, panel, dw + i * out_c, out_c, width, ahead,
                      haste);
}

// Rows of dy as panels of output channels, [panel][place][lane], zeros behind the last channel.
void pack_panels(const float* from, int64_t places, int64_t out_c, int64_t panels, float* to) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d)), width = kVectors * lanes;
  for (int64_t p = 0; p < places; ++p, from += out_c)
    for (int64_t k = 0; k < panels; ++k) {
      float* o = to + (k * places + p) * width;
      const float* f = from + k * width;
      if ((k + 1) * width <= out_c) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) hn::StoreU(hn::LoadU(d, f + v * lanes), d, o + v * lanes);
      } else {
        const int64_t n = out_c - k * width;
        std::memcpy(o, f, n * sizeof(float));
        std::memset(o + n, 0, (width - n) * sizeof(float));
      }
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(panel_width);
HWY_EXPORT(tile_rows);
HWY_EXPORT(pack_rows);
HWY_EXPORT(tap_gradient);
HWY_EXPORT(pack_panels);

namespace {

constexpr int64_t kLine = 64;     // bytes of a line of the cache
constexpr int64_t kPlaces = 128;  // output places of one pass: a panel of dy and a tile of x then share the first cache

// The part of the output that one pass works on: whole images where they are small, else rows of one image. Its inputs
// are packed by phase (row and column modulo the stride), so that every tap meets runs of neighbouring places.
struct Pass {
  int64_t images, rows, sub_h, sub_w, phases, x_places, dy_places;
};

Pass plan(const Convolution& s) {
  Pass p;
  const int64_t area = s.out_h * s.out_w;
  p.images = area <= kPlaces ? std::min(s.batch, kPlaces / area) : 1;
  p.rows = area <= kPlaces ? s.out_h : std::max<int64_t>(1, std::min(s.out_h, kPlaces / s.out_w));
  p.sub_h = p.rows + (s.kernel_h - 1) * s.dilation_h / s.stride_h;
  p.sub_w = s.out_w + (s.kernel_w - 1) * s.dilation_w / s.stride_w;
  p.phases = s.stride_h * s.stride_w;
  p.x_places = p.images * p.phases * p.sub_h * p.sub_w;
  p.dy_places = p.images * p.rows * s.out_w;
  return p;
}

// Pointers to the input row at each packed place; `zeros` outside the image.
void places_of(const Convolution& s, const Pass& p, const float* x, int64_t image, int64_t row, const float* zeros,
               const float** rows) {
  for (int64_t g = 0; g < p.images; ++g)
    for (int64_t a = 0; a < s.stride_h; ++a)
      for (int64_t b = 0; b < s.stride_w; ++b)
        for (int64_t r = 0; r < p.sub_h; ++r)
          for (int64_t c = 0; c < p.sub_w; ++c) {
            const int64_t h = (row + r) * s.stride_h + a - s.pad_top, w = c * s.stride_w + b - s.pad_left;
            const bool inside = image + g < s.batch && h >= 0 && w >= 0 && h < s.in_h && w < s.in_w;
            *rows++ = inside ? x + (((image + g) * s.in_h + h) * s.in_w + w) * s.in_c : zeros;
          }
}

// One tap that never reaches behind the edges; without strides the places of x follow each other as those of dy.
bool one_tap(const Convolution& s) {
  return s.kernel_h == 1 && s.kernel_w == 1 && s.pad_top == 0 && s.pad_left == 0 && (s.out_h - 1) * s.stride_h < s.in_h &&
         (s.out_w - 1) * s.stride_w < s.in_w && (s.stride_h > 1 || s.stride_w > 1 || (s.out_h == s.in_h && s.out_w == s.in_w));
}

// Few input channels: the taps of a row of the filter and their channels are one range of numbers in x, so they serve as the
// channels of a filter one tap wide. Of each output row the input rows are copied, with zeros at both ends.
bool row_by_row(const Convolution& s) { return s.in_c < 16 && s.dilation_w == 1; }

void by_filter_rows(const Convolution& s, const float* x, const float* dy, float* dw, int threads) {
  const int64_t width = HWY_DYNAMIC_DISPATCH(panel_width)(), tile = HWY_DYNAMIC_DISPATCH(tile_rows)();
  const int64_t panels = (s.out_c + width - 1) / width, channels = s.kernel_w * s.in_c, tiles = (channels + tile - 1) / tile;
  const int64_t height = std::max<int64_t>(1, std::min(s.out_h, kPlaces / s.out_w));
  const int64_t length = ((s.out_w - 1) * s.stride_w + s.kernel_w) * s.in_c, left = s.pad_left * s.in_c;
  const int64_t copied = std::max<int64_t>(0, std::min(s.in_w * s.in_c, length - left));
  const int64_t sub_h = (height - 1) * s.stride_h + (s.kernel_h - 1) * s.dilation_h + 1;
  std::fill(dw, dw + s.filter_size(), 0.0f);
  parallel_for(s.kernel_h * tiles, 1, threads, [&](int64_t begin, int64_t end) {
    std::vector<float> rows(sub_h * length, 0.0f), packed(height * s.out_w * panels * width);
    std::vector<int64_t> starts(height);
    for (int64_t r = 0; r < height; ++r) starts[r] = r * s.stride_h;
    for (int64_t image = 0; image < s.batch; ++image)
      for (int64_t row = 0; row < s.out_h; row += height) {
        const int64_t now = std::min(height, s.out_h - row), places = now * s.out_w;
        for (int64_t r = 0; r < sub_h; ++r) {
          const int64_t h = row * s.stride_h + r - s.pad_top;
          float* to = rows.data() + r * length + left;
          if (h < 0 || h >= s.in_h) std::fill(to, to + copied, 0.0f);
          else std::memcpy(to, x + (image * s.in_h + h) * s.in_w * s.in_c, copied * sizeof(float));
        }
        const float* panel = dy + (image * s.out_h + row) * s.out_w * s.out_c;
        if (s.out_c != width) {
          HWY_DYNAMIC_DISPATCH(pack_panels)(panel, places, s.out_c, panels, packed.data());
          panel = packed.data();
        }
        for (int64_t unit = begin, next; unit < end; unit = next) {
          const int64_t u = unit / tiles, first = unit % tiles * tile;
          next = std::min(end, (u + 1) * tiles);
          const int64_t mine = std::min(channels, (next - u * tiles) * tile) - first;
          for (int64_t k = 0; k < panels; ++k)
            HWY_DYNAMIC_DISPATCH(tap_gradient)(rows.data() + u * s.dilation_h * length + first, mine, 0, starts.data(), length,
                                               s.stride_w * s.in_c, now, s.out_w, panel + k * places * width,
                                               dw + (u * channels + first) * s.out_c + k * width, s.out_c,
                                               std::min(width, s.out_c - k * width), nullptr, 0);
        }
      }
  });
}

}  // namespace

bool filter_gradient_fits(const Convolution& s) { return s.planar && s.out_c >= 16 && (s.in_c >= 16 || row_by_row(s)); }

void filter_gradient(const Convolution& s, const float* x, const float* dy, float* dw, int threads) {
  if (row_by_row(s)) return by_filter_rows(s, x, dy, dw, threads);
  const int64_t width = HWY_DYNAMIC_DISPATCH(panel_width)(), tile = HWY_DYNAMIC_DISPATCH(tile_rows)();
  const int64_t panels = (s.out_c + width - 1) / width, tiles = (s.in_c + tile - 1) / tile;
  const Pass pass = plan(s);
  const bool packs = !one_tap(s);
  const std::vector<float> zeros(s.in_c, 0.0f);
  std::fill(dw, dw + s.filter_size(), 0.0f);
  // A thread owns a range of input channels, so each element of dw has one writer and one order of additions.
  parallel_for(tiles, 1, threads, [&](int64_t begin, int64_t end) {
    const int64_t first_c = begin * tile, channels = std::min(s.in_c, end * tile) - first_c;
    std::vector<float> packed_x(packs ? pass.x_places * channels : 0), packed_dy(pass.dy_places * panels * width);
    std::vector<const float*> rows(packs ? pass.x_places : 0);
    std::vector<int64_t> starts(pass.images * pass.rows);
    for (int64_t image = 0; image < s.batch; image += pass.images)
      for (int64_t row = 0; row < s.out_h; row += pass.rows) {
        const int64_t images = std::min(pass.images, s.batch - image), height = std::min(pass.rows, s.out_h - row);
        const int64_t places = images * height * s.out_w;
        // Whole images or rows of one: the places of dy lie next to each other.
        const float* from = dy + (image * s.out_h + row) * s.out_w * s.out_c;
        const float* panel = from;
        if (s.out_c != width) {
          HWY_DYNAMIC_DISPATCH(pack_panels)(from, places, s.out_c, panels, packed_dy.data());
          panel = packed_dy.data();
        }
        if (!packs) {
          // One tap: every place of x is read once for each panel, too seldom to be worth a copy. The next
          // pass's dy comes into the second cache with the first panels, its x with the last.
          const bool whole = s.stride_h == 1 && s.stride_w == 1;
          for (int64_t i = 0; i < images * height; ++i)
            starts[i] = ((image + i / height) * s.in_h + (row + i % height) * s.stride_h) * s.in_w;
          const int64_t of_dy = places * s.out_c * sizeof(float), of_x = whole ? places * s.in_c * sizeof(float) : 0;
          const char* next_dy = reinterpret_cast<const char*>(from) + of_dy;
          const char* next_x = reinterpret_cast<const char*>(x + (starts[0] + places) * s.in_c);
          const bool x_alone = panels == 1 && of_x > of_dy;
          const int64_t steps = (end - begin) * places;
          const int64_t haste = std::min(kLine, ((x_alone ? of_x : of_dy + of_x) + panels * steps - 1) / (panels * steps));
          for (int64_t k = 0; k < panels; ++k) {
            const int64_t at = k * steps * haste;
            const char* ahead = x_alone ? next_x : at < of_dy ? next_dy + at : next_x + (at - of_dy);
            HWY_DYNAMIC_DISPATCH(tap_gradient)(x + first_c, channels, 0, starts.data(), s.in_c, s.stride_w * s.in_c,
                                               whole ? 1 : images * height, whole ? places : s.out_w, panel + k * places * width,
                                               dw + first_c * s.out_c + k * width, s.out_c, std::min(width, s.out_c - k * width),
                                               ahead, haste);
          }
          continue;
        }
        places_of(s, pass, x + first_c, image, row, zeros.data(), rows.data());
        HWY_DYNAMIC_DISPATCH(pack_rows)(rows.data(), channels, pass.x_places, packed_x.data());
        for (int64_t t = 0; t < s.kernel_h * s.kernel_w; ++t) {
          const int64_t u = t / s.kernel_w * s.dilation_h, v = t % s.kernel_w * s.dilation_w;
          const int64_t phase = u % s.stride_h * s.stride_w + v % s.stride_w;
          for (int64_t g = 0; g < images; ++g)
            for (int64_t r = 0; r < height; ++r)
              starts[g * height + r] = ((g * pass.phases + phase) * pass.sub_h + r + u / s.stride_h) * pass.sub_w + v / s.stride_w;
          float* to = dw + (t * s.in_c + first_c) * s.out_c;
          for (int64_t k = 0; k < panels; ++k)
            HWY_DYNAMIC_DISPATCH(tap_gradient)(packed_x.data(), channels, pass.x_places, starts.data(), 0, 0, images * height, s.out_w,
                                               panel + k * places * width, to + k * width, s.out_c,
                                               std::min(width, s.out_c - k * width), nullptr, 0);
        }
      }
  });
}

}  // namespace vq
#endif  // HWY_ONCE
