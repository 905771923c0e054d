// Batch normalisation over the rows of [rows, channels], optionally with ReLU, forward and backward.
// Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 1 and the equations of section 3.
#include <algorithm>
#include <cmath>
#include <vector>

#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/batch_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/channel_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {

// y = ReLU of the normalised rows and what is added to them.
void normalize_added(const float* HWY_RESTRICT x, const float* HWY_RESTRICT mean, const float* HWY_RESTRICT scale,
                     const float* HWY_RESTRICT beta, const float* HWY_RESTRICT added, int64_t rows, int64_t c, float* HWY_RESTRICT y) {
  for (int64_t r = 0; r < rows; ++r, x += c, added += c, y += c)
    for (int64_t k = 0; k < c; ++k) {
      const float v = (x[k] - mean[k]) * scale[k] + beta[k] + added[k];
      y[k] = v < 0 ? 0.0f : v;
    }
}

// g, what the ReLU let through of dy: where it gave a positive y; and the sums of g and of g·(x − mean).
void masked_sums(const float* HWY_RESTRICT x, const float* HWY_RESTRICT dy, const float* HWY_RESTRICT y, const float* HWY_RESTRICT mean,
                 int64_t rows, int64_t c, float* HWY_RESTRICT g, float* HWY_RESTRICT sum, float* HWY_RESTRICT product) {
  std::fill(sum, sum + c, 0.0f);
  std::fill(product, product + c, 0.0f);
  for (int64_t r = 0; r < rows; ++r, x += c, dy += c, y += c, g += c)
    for (int64_t k = 0; k < c; ++k) {
      const float d = dy[k], v = y[k] > 0 ? d : 0.0f;
      g[k] = v;
      sum[k] += v;
      product[k] += v * (x[k] - mean[k]);
    }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(moments);
HWY_EXPORT(normalize);
HWY_EXPORT(gradient_sums);
HWY_EXPORT(input_gradient);
HWY_EXPORT(normalize_added);
HWY_EXPORT(masked_sums);
namespace {

constexpr int64_t kRows = 64;  // rows of one partial sum: few enough for float32, and independent of the thread count

// Runs part(first row, rows, sums, other sums) over chunks of rows and adds the chunks' sums in order, in double.
template <class Part>
void chunked_sums(Context& ctx, int64_t rows, int64_t c, const Part& part, std::vector<double>& first,
                  std::vector<double>& second) {
  const int64_t chunks = (rows + kRows - 1) / kRows;
  float* partial = static_cast<float*>(ctx.scratch(std::max<int64_t>(1, chunks) * 2 * c * sizeof(float)));
  parallel_for(chunks, std::max<int64_t>(1, (1 << 14) / (kRows * c + 1)), ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i)
      part(i * kRows, std::min(kRows, rows - i * kRows), partial + 2 * i * c, partial + (2 * i + 1) * c);
  });
  first.assign(c, 0.0);
  second.assign(c, 0.0);
  parallel_for(c, 64, ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = 0; i < chunks; ++i)
      for (int64_t k = b; k < e; ++k) {
        first[k] += partial[2 * i * c + k];
        second[k] += partial[(2 * i + 1) * c + k];
      }
  });
}

template <class Body>
void over_rows(Context& ctx, int64_t rows, int64_t c, const Body& body) {
  parallel_for(rows, std::max<int64_t>(1, (1 << 14) / (c + 1)), ctx.threads, body);
}

}  // namespace

// Arguments: rows, channels, epsilon, relu, x, gamma, beta, y, mean, variance, added or -1 (with relu alone).
VQ_OP(BatchNormTrain) {
  const int64_t rows = args.integer(), c = args.integer();
  const double epsilon = args.number();
  const bool relu = args.flag();
  const float* x = args.tensor<float>(rows * c);
  const float *gamma = args.tensor<float>(c), *beta = args.tensor<float>(c);
  float* y = args.tensor<float>(rows * c);
  float *mean = args.tensor<float>(c), *variance = args.tensor<float>(c);
  const float* added = args.optional<float>(rows * c);
  check(!added || relu, "what is added goes through the ReLU");
  if (rows == 0) fail(Error::kShape, "batch statistics of no rows");
  std::vector<double> sum, square;
  chunked_sums(args.ctx, rows, c, [&](int64_t first, int64_t n, float* s, float* q) {
    HWY_DYNAMIC_DISPATCH(moments)(x + first * c, x, n, c, s, q);
  }, sum, square);
  std::vector<float> scale(c);
  for (int64_t k = 0; k < c; ++k) {
    const double m = sum[k] / rows, v = std::max(0.0, square[k] / rows - m * m);
    mean[k] = static_cast<float>(x[k] + m);
    variance[k] = std::isnan(square[k]) ? static_cast<float>(square[k]) : static_cast<float>(v);
    scale[k] = static_cast<float>(gamma[k] / std::sqrt(variance[k] + epsilon));
  }
  over_rows(args.ctx, rows, c, [&](int64_t b, int64_t e) {
    if (added) return HWY_DYNAMIC_DISPATCH(normalize_added)(x + b * c, mean, scale.data(), beta, added + b * c, e - b, c, y + b * c);
    HWY_DYNAMIC_DISPATCH(normalize)(x + b * c, mean, scale.data(), beta, e - b, c, relu, y + b * c);
  });
}

// Arguments: channels, share of the batch, factor of its variance, running mean and variance, the batch's, the new ones.
VQ_OP(BatchNormFollow) {
  const int64_t c = args.integer();
  const double share = args.number(), factor = args.number();
  const float *mean = args.tensor<float>(c), *variance = args.tensor<float>(c);
  const float *batch_mean = args.tensor<float>(c), *batch_variance = args.tensor<float>(c);
  float *next_mean = args.tensor<float>(c), *next_variance = args.tensor<float>(c);
  const float kept = static_cast<float>(1 - share), of_mean = static_cast<float>(share), of_variance = static_cast<float>(share * factor);
  for (int64_t k = 0; k < c; ++k) {
    next_mean[k] = mean[k] * kept + batch_mean[k] * of_mean;
    next_variance[k] = variance[k] * kept + batch_variance[k] * of_variance;
  }
}

// Arguments: rows, channels, epsilon, relu, x, gamma, beta, mean, variance, y.
VQ_OP(BatchNormInfer) {
  const int64_t rows = args.integer(), c = args.integer();
  const double epsilon = args.number();
  const bool relu = args.flag();
  const float* x = args.tensor<float>(rows * c);
  const float *gamma = args.optional<float>(c), *beta = args.optional<float>(c);
  const float *mean = args.tensor<float>(c), *variance = args.tensor<float>(c);
  float* y = args.tensor<float>(rows * c);
  std::vector<float> scale(c), offset(c);
  for (int64_t k = 0; k < c; ++k) {
    scale[k] = static_cast<float>((gamma ? gamma[k] : 1.0f) / std::sqrt(variance[k] + epsilon));
    offset[k] = beta ? beta[k] : 0.0f;
  }
  over_rows(args.ctx, rows, c, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(normalize)(x + b * c, mean, scale.data(), offset.data(), e - b, c, relu, y + b * c);
  });
}

// Arguments: rows, channels, epsilon, relu, x, gamma, beta, mean, variance, dy, dx, dgamma, dbeta; where something was added
// before the ReLU also y and the gradient by what was added, else -1 for both.
VQ_OP(BatchNormTrainGrad) {
  const int64_t rows = args.integer(), c = args.integer();
  const double epsilon = args.number();
  const bool relu = args.flag();
  const float* x = args.tensor<float>(rows * c);
  const float *gamma = args.tensor<float>(c), *beta = args.tensor<float>(c);
  const float *mean = args.tensor<float>(c), *variance = args.tensor<float>(c);
  const float* dy = args.tensor<float>(rows * c);
  float* dx = args.tensor<float>(rows * c);
  float *dgamma = args.tensor<float>(c), *dbeta = args.tensor<float>(c);
  const float* y = args.optional<float>(rows * c);
  float* dadded = args.optional<float>(rows * c);
  check(!y == !dadded, "y and the gradient by what was added come together");
  std::vector<float> scale(c), a(c), b(c);
  for (int64_t k = 0; k < c; ++k) scale[k] = static_cast<float>(gamma[k] / std::sqrt(variance[k] + epsilon));
  std::vector<double> sum, product;
  chunked_sums(args.ctx, rows, c, [&](int64_t first, int64_t n, float* s, float* p) {
    if (y)
      return HWY_DYNAMIC_DISPATCH(masked_sums)(x + first * c, dy + first * c, y + first * c, mean, n, c, dadded + first * c, s, p);
    HWY_DYNAMIC_DISPATCH(gradient_sums)(x + first * c, dy + first * c, mean, scale.data(), beta, n, c, relu, s, p);
  }, sum, product);
  for (int64_t k = 0; k < c; ++k) {
    const double inverse = 1 / (variance[k] + epsilon);
    dbeta[k] = static_cast<float>(sum[k]);
    dgamma[k] = static_cast<float>(product[k] * std::sqrt(inverse));
    a[k] = static_cast<float>(scale[k] * sum[k] / rows);
    b[k] = static_cast<float>(scale[k] * product[k] * inverse / rows);
  }
  over_rows(args.ctx, rows, c, [&](int64_t begin, int64_t end) {
    const float* passed = y ? dadded : dy;
    HWY_DYNAMIC_DISPATCH(input_gradient)(x + begin * c, passed + begin * c, mean, scale.data(), beta, a.data(), b.data(),
                                         end - begin, c, relu && !y, dx + begin * c);
  });
}

}  // namespace vq
#endif  // HWY_ONCE
