// Bilinear and nearest-neighbour resizing of channels-last images, and the gradients: the transpose of the same weights.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/window.h"

#ifndef VQ_RESIZE_BETWEEN  // this file is compiled once per instruction set
#define VQ_RESIZE_BETWEEN
namespace vq {
// Where an output place lies between two input places: low + fraction of the way to high. Offsets count elements.
struct Between {
  int64_t low, high;
  float fraction;
};
}  // namespace vq
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/resize.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {

// One row of outputs from two input rows.
void bilinear_row(const float* HWY_RESTRICT top, const float* HWY_RESTRICT bottom, const Between* columns, int64_t width,
                  int64_t channels, float down, float* HWY_RESTRICT y) {
  for (int64_t o = 0; o < width; ++o, y += channels) {
    const float across = columns[o].fraction;
    const float *tl = top + columns[o].low, *tr = top + columns[o].high;
    const float *bl = bottom + columns[o].low, *br = bottom + columns[o].high;
    for (int64_t c = 0; c < channels; ++c) {
      const float t = tl[c] + (tr[c] - tl[c]) * across, b = bl[c] + (br[c] - bl[c]) * across;
      y[c] = t + (b - t) * down;
    }
  }
}

// One row of dx += weight · one row of dy, each value shared between its two columns.
void bilinear_gradient_row(const float* HWY_RESTRICT dy, const Between* columns, int64_t width, int64_t channels, float weight,
                           float* dx) {
  for (int64_t o = 0; o < width; ++o, dy += channels) {
    const float high = weight * columns[o].fraction, low = weight - high;
    float *l = dx + columns[o].low, *h = dx + columns[o].high;
    for (int64_t c = 0; c < channels; ++c) l[c] += low * dy[c];
    for (int64_t c = 0; c < channels; ++c) h[c] += high * dy[c];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(bilinear_row);
HWY_EXPORT(bilinear_gradient_row);

namespace {

struct Resize {
  int64_t batch, in_h, in_w, out_h, out_w, channels;
  bool align_corners, half_pixel;
  int64_t input_size() const { return batch * in_h * in_w * channels; }
  int64_t output_size() const { return batch * out_h * out_w * channels; }
};

// batch, input height and width, output height and width, channels, whether corners are aligned, whether centres are.
Resize resize_of(Args& args) {
  Resize s;
  for (int64_t* field : {&s.batch, &s.in_h, &s.in_w, &s.out_h, &s.out_w, &s.channels}) *field = args.integer();
  s.align_corners = args.flag();
  s.half_pixel = args.flag();
  checked_product({s.batch, s.in_h, s.in_w, s.channels});
  check(checked_product({s.batch, s.out_h, s.out_w, s.channels}) == 0 || (s.in_h > 0 && s.in_w > 0), "an image without pixels cannot be resized");
  return s;
}

double ratio(int64_t in, int64_t out, bool align_corners) {
  const bool inner = align_corners && out > 1;
  return static_cast<double>(inner ? in - 1 : in) / static_cast<double>(inner ? out - 1 : out);
}

std::vector<Between> between(int64_t in, int64_t out, const Resize& s, int64_t step) {
  std::vector<Between> places(out);
  const double scale = ratio(in, out, s.align_corners);
  for (int64_t o = 0; o < out; ++o) {
    const double at = s.half_pixel ? scale * (static_cast<double>(o) + 0.5) - 0.5 : scale * static_cast<double>(o);
    const int64_t low = std::clamp<int64_t>(static_cast<int64_t>(std::floor(at)), 0, in - 1);
    const int64_t high = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(at)), 0, in - 1);
    places[o] = {low * step, high * step, static_cast<float>(at - static_cast<double>(low))};
  }
  return places;
}

std::vector<int64_t> nearest(int64_t in, int64_t out, const Resize& s) {
  std::vector<int64_t> places(out);
  const double scale = ratio(in, out, s.align_corners);
  for (int64_t o = 0; o < out; ++o) {
    const double at = scale * (static_cast<double>(o) + (s.half_pixel ? 0.5 : 0.0));
    places[o] = std::clamp<int64_t>(static_cast<int64_t>(std::floor(s.align_corners ? at + 0.5 : at)), 0, in - 1);
  }
  return places;
}

int64_t grain(int64_t work) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, work)); }

template <class T>
void copy_nearest(const Resize& s, int threads, const T* x, T* y) {
  if (s.output_size() == 0) return;
  const auto rows = nearest(s.in_h, s.out_h, s), columns = nearest(s.in_w, s.out_w, s);
  const int64_t line = s.out_w * s.channels;
  parallel_for(s.batch * s.out_h, grain(line), threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const T* from = x + (i / s.out_h * s.in_h + rows[i % s.out_h]) * s.in_w * s.channels;
      T* to = y + i * line;
      if (s.channels == 1) {
        for (int64_t o = 0; o < s.out_w; ++o) to[o] = from[columns[o]];
      } else if (s.channels < 8) {
        for (int64_t o = 0; o < s.out_w; ++o)
          for (int64_t c = 0; c < s.channels; ++c) to[o * s.channels + c] = from[columns[o] * s.channels + c];
      } else {
        for (int64_t o = 0; o < s.out_w; ++o)
          std::memcpy(to + o * s.channels, from + columns[o] * s.channels, s.channels * sizeof(T));
      }
    }
  });
}

}  // namespace

// Arguments: the sizes, x, y.
VQ_OP(ResizeBilinear) {
  const Resize s = resize_of(args);
  const float* x = args.tensor<float>(s.input_size());
  float* y = args.tensor<float>(s.output_size());
  if (s.output_size() == 0) return;
  const int64_t line = s.out_w * s.channels, in_line = s.in_w * s.channels;
  const auto rows = between(s.in_h, s.out_h, s, in_line), columns = between(s.in_w, s.out_w, s, s.channels);
  parallel_for(s.batch * s.out_h, grain(line), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const float* image = x + i / s.out_h * s.in_h * in_line;
      const Between& row = rows[i % s.out_h];
      HWY_DYNAMIC_DISPATCH(bilinear_row)
      (image + row.low, image + row.high, columns.data(), s.out_w, s.channels,
       row.fraction, y + i * line);
    }
  });
}

// Arguments: the sizes (input: the image whose gradient is wanted), dy, dx.
VQ_OP(ResizeBilinearGrad) {
  const Resize s = resize_of(args);
  const float* dy = args.tensor<float>(s.output_size());
  float* dx = args.tensor<float>(s.input_size());
  if (s.output_size() == 0) return std::fill(dx, dx + s.input_size(), 0.0f);
  const int64_t line = s.out_w * s.channels, in_line = s.in_w * s.channels;
  const auto rows = between(s.in_h, s.out_h, s, 1), columns = between(s.in_w, s.out_w, s, s.channels);
  // The output rows that each input row is part of, in ascending order, so that a row of dx has one writer.
  std::vector<std::vector<std::pair<int64_t, float>>> parts(s.in_h);
  for (int64_t o = 0; o < s.out_h; ++o) {
    parts[rows[o].low].push_back({o, 1.0f - rows[o].fraction});
    if (rows[o].fraction != 0) parts[rows[o].high].push_back({o, rows[o].fraction});
  }
  parallel_for(s.batch * s.in_h, grain(in_line), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      float* to = dx + i * in_line;
      std::fill(to, to + in_line, 0.0f);
      for (const auto& [o, weight] : parts[i % s.in_h])
        HWY_DYNAMIC_DISPATCH(bilinear_gradient_row)
      (dy + (i / s.in_h * s.out_h + o) * line, columns.data(), s.out_w, s.channels, weight, to);
    }
  });
}

// Arguments: dtype, the sizes, x, y.
VQ_OP(ResizeNearestNeighbor) {
  const DType dtype = dtype_of(args.number());
  const Resize s = resize_of(args);
  if (bytes_of(dtype) == 4) {
    const uint8_t* x = args.bytes(dtype, s.input_size());
    uint8_t* y = args.bytes(dtype, s.output_size());
    copy_nearest(s, args.ctx.threads, reinterpret_cast<const int32_t*>(x), reinterpret_cast<int32_t*>(y));
  } else {
    const uint8_t* x = args.tensor<uint8_t>(s.input_size());
    copy_nearest(s, args.ctx.threads, x, args.tensor<uint8_t>(s.output_size()));
  }
}

// Arguments: the sizes, dy, dx.
VQ_OP(ResizeNearestNeighborGrad) {
  const Resize s = resize_of(args);
  const float* dy = args.tensor<float>(s.output_size());
  float* dx = args.tensor<float>(s.input_size());
  if (s.output_size() == 0) return std::fill(dx, dx + s.input_size(), 0.0f);
  const auto rows = nearest(s.in_h, s.out_h, s), columns = nearest(s.in_w, s.out_w, s);
  const int64_t line = s.out_w * s.channels, in_line = s.in_w * s.channels;
  parallel_for(s.batch * s.in_h, grain(in_line), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      float* to = dx + i * in_line;
      std::fill(to, to + in_line, 0.0f);
      // Rows ascend, so the outputs of an input row are a run.
      const auto run = std::equal_range(rows.begin(), rows.end(), i % s.in_h);
      for (auto r = run.first; r != run.second; ++r) {
        const float* from = dy + (i / s.in_h * s.out_h + (r - rows.begin())) * line;
        for (int64_t o = 0; o < s.out_w; ++o)
          for (int64_t c = 0; c < s.channels; ++c) to[columns[o] * s.channels + c] += from[o * s.channels + c];
      }
    }
  });
}

}  // namespace vq
#endif
