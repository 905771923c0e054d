// Local response normalisation over channels: y = x · (bias + alpha · Σ x²)^−beta, the sum over `radius` channels on each side.
// Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", section 3.3.
#include <algorithm>
#include <cmath>
#include <vector>

#include "vq/op.h"
#include "vq/threads.h"
#include "vq/window.h"

namespace vq {
namespace {

struct Norm {
  int64_t rows, channels, radius;
  double bias, alpha, beta;
};

Norm norm_of(Args& args) {
  Norm s;
  s.rows = args.integer();
  s.channels = args.integer();
  s.radius = std::min<int64_t>(args.integer(), s.channels);
  s.bias = args.number();
  s.alpha = args.number();
  s.beta = args.number();
  checked_product({s.rows, s.channels});
  return s;
}

double power(double v, double beta) {
  if (beta == 0.5) return 1 / std::sqrt(v);
  if (beta == 0.75) return 1 / (std::sqrt(v) * std::sqrt(std::sqrt(v)));
  return std::pow(v, -beta);
}

// bias + alpha · Σ x² around channel c. Summed anew for each channel: a running sum would keep what a NaN left in it.
double norm_at(const Norm& s, const float* x, int64_t c) {
  double sum = 0;
  for (int64_t k = std::max<int64_t>(0, c - s.radius); k <= std::min(c + s.radius, s.channels - 1); ++k)
    sum += static_cast<double>(x[k]) * x[k];
  return s.bias + s.alpha * sum;
}

int64_t grain(const Norm& s) { return std::max<int64_t>(1, (1 << 11) / std::max<int64_t>(1, s.channels)); }

}  // namespace

// Arguments: rows, channels, radius, bias, alpha, beta, x, y.
VQ_OP(LRN) {
  const Norm s = norm_of(args);
  const float* x = args.tensor<float>(s.rows * s.channels);
  float* y = args.tensor<float>(s.rows * s.channels);
  parallel_for(s.rows, grain(s), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r)
      for (int64_t c = 0; c < s.channels; ++c)
        y[r * s.channels + c] = static_cast<float>(x[r * s.channels + c] * power(norm_at(s, x + r * s.channels, c), s.beta));
  });
}

// Arguments: rows, channels, radius, bias, alpha, beta, x, y, dy, dx.
VQ_OP(LRNGrad) {
  const Norm s = norm_of(args);
  const int64_t n = s.rows * s.channels;
  const float *x = args.tensor<float>(n), *y = args.tensor<float>(n), *dy = args.tensor<float>(n);
  float* dx = args.tensor<float>(n);
  parallel_for(s.rows, grain(s), args.ctx.threads, [&](int64_t b, int64_t e) {
    std::vector<double> sum(s.channels);
    for (int64_t r = b; r < e; ++r) {
      const float *xr = x + r * s.channels, *yr = y + r * s.channels, *gr = dy + r * s.channels;
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t c = 0; c < s.channels; ++c) {
        const double norm = norm_at(s, xr, c), factor = -2 * s.alpha * s.beta * yr[c] / norm * gr[c];
        for (int64_t k = std::max<int64_t>(0, c - s.radius); k <= std::min(c + s.radius, s.channels - 1); ++k) sum[k] += factor * xr[k];
        sum[c] += power(norm, s.beta) * gr[c];
      }
      for (int64_t c = 0; c < s.channels; ++c) dx[r * s.channels + c] = static_cast<float>(sum[c]);
    }
  });
}

}  // namespace vq
