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

#if HWY_ONCE
namespace vq {
HWY_EXPORT(moments);
HWY_EXPORT(normalize);
HWY_EXPORT(gradient_sums);
HWY_EXPORT(input_gradient);
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

// Arguments: rows, channels, epsilon, relu, x, gamma, beta, y, mean, variance.
VQ_OP(BatchNormTrain) {
  const int64_t rows = args.integer(), c = args.integer();
  const double epsilon = args.number();
  const bool relu = args.flag();
  const float* x = args.tensor<float>(rows * c);
  const float *gamma = args.tensor<float>(c), *beta = args.tensor<float>(c);
  float* y = args.tensor<float>(rows * c);
  float *mean = args.tensor<float>(c), *variance = args.tensor<float>(c);
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
    HWY_DYNAMIC_DISPATCH(normalize)(x + b * c, mean, scale.data(), beta, e - b, c, relu, y + b * c);
  });
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

// Arguments: rows, channels, epsilon, relu, x, gamma, beta, mean, variance, dy, dx, dgamma, dbeta.
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
  std::vector<float> scale(c), a(c), b(c);
  for (int64_t k = 0; k < c; ++k) scale[k] = static_cast<float>(gamma[k] / std::sqrt(variance[k] + epsilon));
  std::vector<double> sum, product;
  chunked_sums(args.ctx, rows, c, [&](int64_t first, int64_t n, float* s, float* p) {
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
    HWY_DYNAMIC_DISPATCH(input_gradient)(x + begin * c, dy + begin * c, mean, scale.data(), beta, a.data(), b.data(),
                                         end - begin, c, relu, dx + begin * c);
  });
}

}  // namespace vq
#endif  // HWY_ONCE
