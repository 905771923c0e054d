// Image kernels that fetch each output pixel from somewhere else: flip, rotate, projective transform, crop and resize.
// Coordinates are computed in double and rounded half up, as JavaScript's Math.round does.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/whole.h"
#include "vq/window.h"

namespace vq {
namespace {

struct Image {
  int64_t batch, height, width, channels;
  int64_t size() const { return checked_product({batch, height, width, channels}); }
  int64_t line() const { return width * channels; }
};

Image image_of(Args& args) {
  Image s;
  for (int64_t* field : {&s.batch, &s.height, &s.width, &s.channels}) *field = args.integer();
  s.size();
  return s;
}

int64_t grain(int64_t work) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, work)); }
double round_half_up(double v) { return std::floor(v + 0.5); }

// Calls body(a pointer of the dtype, the same for the output).
template <class Body>
void by_dtype(Args& args, DType dtype, int64_t in, int64_t out, const Body& body) {
  if (dtype == DType::kFloat32) {
    const float* x = args.tensor<float>(in);
    body(x, args.tensor<float>(out));
  } else if (dtype == DType::kInt32) {
    const int32_t* x = args.tensor<int32_t>(in);
    body(x, args.tensor<int32_t>(out));
  } else {
    const uint8_t* x = args.tensor<uint8_t>(in);
    body(x, args.tensor<uint8_t>(out));
  }
}

template <int Channels, class T>
void flip_row(const T* x, int64_t width, int64_t channels, T* y) {
  const int64_t n = Channels ? Channels : channels;
  for (int64_t c = 0; c < width; ++c)
    for (int64_t k = 0; k < n; ++k) y[c * n + k] = x[(width - 1 - c) * n + k];
}

}  // namespace

// Arguments: dtype, batch, height, width, channels, x, y.
VQ_OP(FlipLeftRight) {
  const DType dtype = dtype_of(args.number());
  const Image s = image_of(args);
  by_dtype(args, dtype, s.size(), s.size(), [&](const auto* x, auto* y) {
    parallel_for(s.batch * s.height, grain(s.line()), args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        const auto* from = x + i * s.line();
        auto* to = y + i * s.line();
        if (s.channels == 1) flip_row<1>(from, s.width, 1, to);
        else if (s.channels == 3) flip_row<3>(from, s.width, 3, to);
        else if (s.channels == 4) flip_row<4>(from, s.width, 4, to);
        else flip_row<0>(from, s.width, s.channels, to);
      }
    });
  });
}

// Arguments: dtype, batch, height, width, channels, sine, cosine, centre x and y, fill of channels 0, 1, 2, 3 and of the
// others, x, y.
VQ_OP(RotateWithOffset) {
  const DType dtype = dtype_of(args.number());
  const Image s = image_of(args);
  const double sine = args.number(), cosine = args.number(), cx = args.number(), cy = args.number();
  double fill[5];
  for (double& f : fill) f = args.number();
  by_dtype(args, dtype, s.size(), s.size(), [&](const auto* x, auto* y) {
    using T = std::remove_reference_t<decltype(y[0])>;
    parallel_for(s.batch * s.height, grain(s.line()), args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        const double dy = static_cast<double>(i % s.height) - cy;
        const auto* image = x + i / s.height * s.height * s.line();
        for (int64_t c = 0; c < s.width; ++c) {
          const double dx = static_cast<double>(c) - cx;
          const double column = round_half_up(dx * cosine - dy * sine + cx), row = round_half_up(dx * sine + dy * cosine + cy);
          T* to = y + i * s.line() + c * s.channels;
          if (column >= 0 && column < static_cast<double>(s.width) && row >= 0 && row < static_cast<double>(s.height)) {
            const auto* from = image + (static_cast<int64_t>(row) * s.width + static_cast<int64_t>(column)) * s.channels;
            for (int64_t k = 0; k < s.channels; ++k) to[k] = from[k];
          } else {
            for (int64_t k = 0; k < s.channels; ++k) to[k] = stored<T>(fill[k < 4 ? k : 4]);
          }
        }
      }
    });
  });
}

namespace {

enum FillMode { kConstant = 0, kReflect = 1, kWrap = 2, kNearest = 3 };

// Brings a coordinate that lies outside [0, length) inside, as TensorFlow's image transforms do.
double mapped(double at, int64_t length, int mode) {
  if (mode == kConstant || std::isnan(at)) return at;
  const double n = static_cast<double>(length);
  if (mode != kNearest && (at < 0 || at > n - 1)) {
    if (length <= 1) at = 0;
    else if (mode == kReflect) {
      const double period = 2 * n;
      if (at < 0) {
        at += period * std::trunc(-at / period);
        at = at < -n ? at + period : -at - 1;
      } else {
        at -= period * std::trunc(at / period);
        if (at >= n) at = period - at - 1;
      }
    } else if (at < 0) at += n * (std::trunc(-at / (n - 1)) + 1);
    else at -= n * std::trunc(at / (n - 1));
  }
  return std::max(0.0, std::min(at, n - 1));
}

}  // namespace

// Output place (x, y) takes the input at ((a0·x + a1·y + a2) / p, (a3·x + a4·y + a5) / p), p = a6·x + a7·y + 1. Arguments:
// dtype, batch, height, width, channels, output height and width, count of transforms (1 or batch), whether bilinear, fill
// mode, fill value, transforms, x, y.
VQ_OP(Transform) {
  const DType dtype = dtype_of(args.number());
  const Image s = image_of(args);
  Image out = s;
  out.height = args.integer();
  out.width = args.integer();
  const int64_t count = args.integer();
  const bool bilinear = args.flag();
  const int mode = static_cast<int>(args.integer());
  const double fill = args.number();
  check(count == 1 || count == s.batch, "there must be one transform, or one for each image");
  const float* transforms = args.tensor<float>(count * 8);
  by_dtype(args, dtype, s.size(), out.size(), [&](const auto* x, auto* y) {
    using T = std::remove_reference_t<decltype(y[0])>;
    const T filled = stored<T>(fill);
    parallel_for(s.batch * out.height, grain(out.line()), args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t n = i / out.height;
        const float* a = transforms + (count == 1 ? 0 : n * 8);
        const double v = static_cast<double>(i % out.height);
        const auto* image = x + n * s.height * s.line();
        auto inside = [&](double row, double column) {
          return row >= 0 && row < static_cast<double>(s.height) && column >= 0 && column < static_cast<double>(s.width);
        };
        auto pixel = [&](double row, double column) {
          return image + (static_cast<int64_t>(row) * s.width + static_cast<int64_t>(column)) * s.channels;
        };
        for (int64_t o = 0; o < out.width; ++o) {
          T* to = y + i * out.line() + o * out.channels;
          const double u = static_cast<double>(o), p = a[6] * u + a[7] * v + 1;
          if (p == 0) {
            std::fill(to, to + s.channels, filled);
            continue;
          }
          const double column = mapped((a[0] * u + a[1] * v + a[2]) / p, s.width, mode);
          const double row = mapped((a[3] * u + a[4] * v + a[5]) / p, s.height, mode);
          if (!bilinear) {
            const double r = round_half_up(row), c = round_half_up(column);
            if (inside(r, c)) std::copy_n(pixel(r, c), s.channels, to);
            else std::fill(to, to + s.channels, filled);
            continue;
          }
          const double r = std::floor(row), c = std::floor(column);
          const bool in[4] = {inside(r, c), inside(r, c + 1), inside(r + 1, c), inside(r + 1, c + 1)};
          for (int64_t k = 0; k < s.channels; ++k) {
            auto value = [&](int which, double at_row, double at_column) {
              return in[which] ? static_cast<double>(pixel(at_row, at_column)[k]) : fill;
            };
            const double top = (c + 1 - column) * value(0, r, c) + (column - c) * value(1, r, c + 1);
            const double bottom = (c + 1 - column) * value(2, r + 1, c) + (column - c) * value(3, r + 1, c + 1);
            to[k] = stored<T>((r + 1 - row) * top + (row - r) * bottom);
          }
        }
      }
    });
  });
}

// Arguments: batch, height, width, channels, boxes, crop height and width, whether bilinear, the value outside, image, boxes
// [boxes, 4] as y1, x1, y2, x2 in parts of the image, image of each box, y.
VQ_OP(CropAndResize) {
  const Image s = image_of(args);
  const int64_t boxes = args.integer();
  Image out{boxes, 0, 0, s.channels};
  out.height = args.integer();
  out.width = args.integer();
  const bool bilinear = args.flag();
  const float outside = args.real();
  const float* x = args.tensor<float>(s.size());
  const float* box = args.tensor<float>(checked_product({boxes, 4}));
  const int32_t* which = args.tensor<int32_t>(boxes);
  float* y = args.tensor<float>(out.size());
  for (int64_t i = 0; i < boxes; ++i) check(which[i] >= 0, "a box belongs to an image with a negative index");
  // Where line `o` of `size` lines between `from` and `to` lies on an axis of `length`.
  auto place = [](double from, double to, int64_t length, int64_t o, int64_t size) {
    const double last = static_cast<double>(length - 1);
    return size > 1 ? from * last + static_cast<double>(o) * ((to - from) * last / static_cast<double>(size - 1))
                    : 0.5 * (from + to) * last;
  };
  if (out.size() == 0) return;
  parallel_for(boxes * out.height, grain(out.line()), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t n = i / out.height;
      float* line = y + i * out.line();
      if (which[n] >= s.batch) {
        std::fill(line, line + out.line(), 0.0f);
        continue;
      }
      const float *p = box + n * 4, *image = x + which[n] * s.height * s.line();
      const double row = place(p[0], p[2], s.height, i % out.height, out.height);
      for (int64_t o = 0; o < out.width; ++o) {
        const double column = place(p[1], p[3], s.width, o, out.width);
        float* to = line + o * out.channels;
        const bool lies_outside = row < 0 || row > static_cast<double>(s.height - 1) || column < 0 || column > static_cast<double>(s.width - 1);
        if (lies_outside || std::isnan(row) || std::isnan(column)) {
          std::fill(to, to + s.channels, lies_outside ? outside : std::numeric_limits<float>::quiet_NaN());
          continue;
        }
        auto pixel = [&](double r, double c) {
          return image + (static_cast<int64_t>(r) * s.width + static_cast<int64_t>(c)) * s.channels;
        };
        if (!bilinear) {
          std::copy_n(pixel(round_half_up(row), round_half_up(column)), s.channels, to);
          continue;
        }
        const float down = static_cast<float>(row - std::floor(row)), across = static_cast<float>(column - std::floor(column));
        const float *tl = pixel(std::floor(row), std::floor(column)), *tr = pixel(std::floor(row), std::ceil(column));
        const float *bl = pixel(std::ceil(row), std::floor(column)), *br = pixel(std::ceil(row), std::ceil(column));
        for (int64_t k = 0; k < s.channels; ++k) {
          const float t = tl[k] + (tr[k] - tl[k]) * across, m = bl[k] + (br[k] - bl[k]) * across;
          to[k] = t + (m - t) * down;
        }
      }
    }
  });
}

}  // namespace vq
