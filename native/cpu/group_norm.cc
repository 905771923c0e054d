// Group normalisation of images [batch, area, channels]: statistics over the area and the channels of a group.
// Wu and He 2018, https://arxiv.org/abs/1803.08494, equations 1, 7 and 8.
#include <algorithm>
#include <cmath>
#include <vector>

#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/group_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/channel_rows-inl.h"

#if HWY_ONCE
namespace vq {
HWY_EXPORT(moments);
HWY_EXPORT(normalize);
HWY_EXPORT(gradient_sums);
HWY_EXPORT(input_gradient);
namespace {

constexpr int64_t kRows = 64;  // of one partial sum, whatever the number of threads is

struct Sizes {
  int64_t batch, area, channels, groups;
  int64_t per_group() const { return channels / groups; }
  int64_t size() const { return batch * area * channels; }
};

Sizes sizes(Args& args) {
  Sizes s{};
  for (int64_t* field : {&s.batch, &s.area, &s.channels, &s.groups}) *field = args.integer();
  if (s.groups < 1 || s.channels % s.groups != 0) fail(Error::kShape, "channels are no multiple of groups");
  return s;
}

// Per image and channel the sums of two quantities: part(image, first row, rows, first sums, second sums) gives those of
// some rows; result[image · 2c …] first sums, then second ones.
template <class Part>
std::vector<double> channel_sums(Context& ctx, const Sizes& s, const Part& part) {
  const int64_t c = s.channels, chunks = (s.area + kRows - 1) / kRows;
  float* partial = static_cast<float*>(ctx.scratch(std::max<int64_t>(1, s.batch * chunks * 2 * c) * sizeof(float)));
  parallel_for(s.batch * chunks, std::max<int64_t>(1, (1 << 14) / (kRows * c + 1)), ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t first = i % chunks * kRows;
      part(i / chunks, first, std::min(kRows, s.area - first), partial + 2 * i * c, partial + (2 * i + 1) * c);
    }
  });
  std::vector<double> total(s.batch * 2 * c, 0.0);
  parallel_for(s.batch, 1, ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t n = b; n < e; ++n)
      for (int64_t i = 0; i < chunks; ++i)
        for (int64_t k = 0; k < 2 * c; ++k) total[n * 2 * c + k] += partial[(n * chunks + i) * 2 * c + k];
  });
  return total;
}

// Runs body(image, first row, rows) over all rows of all images.
template <class Body>
void over_rows(Context& ctx, const Sizes& s, const Body& body) {
  parallel_for(s.batch * s.area, std::max<int64_t>(1, (1 << 14) / (s.channels + 1)), ctx.threads, [&](int64_t b, int64_t e) {
    while (b < e) {
      const int64_t image = b / s.area, end = std::min(e, (image + 1) * s.area);
      body(image, b - image * s.area, end - b);
      b = end;
    }
  });
}

}  // namespace

// Arguments: batch, area, channels, groups, epsilon, x, gamma or -1, beta or -1, y, mean and inverse deviation, each
// [batch, channels], equal within a group.
VQ_OP(GroupNorm) {
  const Sizes s = sizes(args);
  const double epsilon = args.number();
  const int64_t c = s.channels, width = s.per_group();
  const float* x = args.tensor<float>(s.size());
  const float *gamma = args.optional<float>(c), *beta = args.optional<float>(c);
  float* y = args.tensor<float>(s.size());
  float *mean = args.tensor<float>(s.batch * c), *inverse = args.tensor<float>(s.batch * c);
  if (s.size() == 0) return;
  // Shifted by each image's first row, so that the squares do not cancel.
  const auto sums = channel_sums(args.ctx, s, [&](int64_t n, int64_t first, int64_t rows, float* sum, float* square) {
    HWY_DYNAMIC_DISPATCH(moments)(x + (n * s.area + first) * c, x + n * s.area * c, rows, c, sum, square);
  });
  std::vector<float> scale(s.batch * c), offset(c);
  for (int64_t k = 0; k < c; ++k) offset[k] = beta ? beta[k] : 0.0f;
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t g = 0; g < s.groups; ++g) {
      const double *sum = &sums[n * 2 * c + g * width], *square = sum + c;
      const float* shift = x + n * s.area * c + g * width;
      double m = 0, v = 0;
      for (int64_t k = 0; k < width; ++k) m += shift[k] + sum[k] / s.area;
      m /= width;
      for (int64_t k = 0; k < width; ++k) {
        const double own = sum[k] / s.area, away = shift[k] + own - m;
        v += std::max(0.0, square[k] / s.area - own * own) + away * away + (square[k] - square[k]);
      }
      for (int64_t k = 0; k < width; ++k) {
        const int64_t at = n * c + g * width + k;
        mean[at] = static_cast<float>(m);
        inverse[at] = static_cast<float>(1 / std::sqrt(v / width + epsilon));
        scale[at] = inverse[at] * (gamma ? gamma[g * width + k] : 1.0f);
      }
    }
  over_rows(args.ctx, s, [&](int64_t n, int64_t first, int64_t rows) {
    const int64_t at = (n * s.area + first) * c;
    HWY_DYNAMIC_DISPATCH(normalize)(x + at, mean + n * c, scale.data() + n * c, offset.data(), rows, c, false, y + at);
  });
}

// Arguments: batch, area, channels, groups, x, gamma or -1, mean, inverse deviation, dy, dx, dgamma, dbeta.
VQ_OP(GroupNormGrad) {
  const Sizes s = sizes(args);
  const int64_t c = s.channels, width = s.per_group();
  const float *x = args.tensor<float>(s.size()), *gamma = args.optional<float>(c);
  const float *mean = args.tensor<float>(s.batch * c), *inverse = args.tensor<float>(s.batch * c);
  const float* dy = args.tensor<float>(s.size());
  float* dx = args.tensor<float>(s.size());
  float *dgamma = args.tensor<float>(c), *dbeta = args.tensor<float>(c);
  std::vector<float> scale(s.batch * c), a(s.batch * c), b(s.batch * c), none(c, 0.0f);
  for (int64_t i = 0; i < s.batch * c; ++i) scale[i] = inverse[i] * (gamma ? gamma[i % c] : 1.0f);
  const auto sums = channel_sums(args.ctx, s, [&](int64_t n, int64_t first, int64_t rows, float* sum, float* product) {
    const int64_t at = (n * s.area + first) * c;
    HWY_DYNAMIC_DISPATCH(gradient_sums)
    (x + at, dy + at, mean + n * c, scale.data() + n * c, none.data(), rows, c, false, sum, product);
  });
  std::vector<double> of_gamma(c, 0.0), of_beta(c, 0.0);
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t g = 0; g < s.groups; ++g) {
      double total = 0, product = 0;
      for (int64_t k = g * width; k < (g + 1) * width; ++k) {
        const double sum = sums[n * 2 * c + k], cross = sums[n * 2 * c + c + k], weight = scale[n * c + k];
        total += weight * sum;
        product += weight * cross;
        of_beta[k] += sum;
        of_gamma[k] += cross * inverse[n * c + k];
      }
      const double count = static_cast<double>(s.area) * width;
      for (int64_t k = g * width; k < (g + 1) * width; ++k) {
        const double r = inverse[n * c + k];
        a[n * c + k] = static_cast<float>(total / count);
        b[n * c + k] = static_cast<float>(product * r * r / count);
      }
    }
  for (int64_t k = 0; k < c; ++k) {
    dgamma[k] = static_cast<float>(of_gamma[k]);
    dbeta[k] = static_cast<float>(of_beta[k]);
  }
  over_rows(args.ctx, s, [&](int64_t n, int64_t first, int64_t rows) {
    const int64_t at = (n * s.area + first) * c;
    HWY_DYNAMIC_DISPATCH(input_gradient)
    (x + at, dy + at, mean + n * c, scale.data() + n * c, none.data(), a.data() + n * c, b.data() + n * c, rows, c, false,
     dx + at);
  });
}

}  // namespace vq
#endif  // HWY_ONCE
