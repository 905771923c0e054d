// Loops over rows of [rows, channels] with one set of numbers per channel, which batch and group normalisation share. To be
// included inside a foreach_target file.
#if defined(VQ_CHANNEL_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VQ_CHANNEL_ROWS_INL_H
#undef VQ_CHANNEL_ROWS_INL_H
#else
#define VQ_CHANNEL_ROWS_INL_H
#endif

#include <algorithm>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {

// The pointers never overlap; the compiler vectorises these loops only when it knows.
#define VQ_IN const float* HWY_RESTRICT
#define VQ_OUT float* HWY_RESTRICT

// Sums of x - shift and of its square, over `rows` rows. The shift keeps the squares from cancelling.
void moments(VQ_IN x, VQ_IN shift, int64_t rows, int64_t c, VQ_OUT sum, VQ_OUT square) {
  std::fill(sum, sum + c, 0.0f);
  std::fill(square, square + c, 0.0f);
  for (int64_t r = 0; r < rows; ++r, x += c)
    for (int64_t k = 0; k < c; ++k) {
      const float v = x[k] - shift[k];
      sum[k] += v;
      square[k] += v * v;
    }
}

void normalize(VQ_IN x, VQ_IN mean, VQ_IN scale, VQ_IN beta, int64_t rows, int64_t c, bool relu, VQ_OUT y) {
  for (int64_t r = 0; r < rows; ++r, x += c, y += c) {
    if (relu) {
      for (int64_t k = 0; k < c; ++k) {
        const float v = (x[k] - mean[k]) * scale[k] + beta[k];
        y[k] = v < 0 ? 0.0f : v;
      }
    } else {
      for (int64_t k = 0; k < c; ++k) y[k] = (x[k] - mean[k]) * scale[k] + beta[k];
    }
  }
}

// dy where the ReLU let it through: where `normalize` gave a positive value.
template <bool Relu>
HWY_INLINE float passed(float dy, float centred, float scale, float beta) {
  return !Relu || centred * scale + beta > 0 ? dy : 0.0f;
}

// Sums of g and of g·(x − mean), g being what the ReLU let through of dy.
template <bool Relu>
void gradient_sums_of(VQ_IN x, VQ_IN dy, VQ_IN mean, VQ_IN scale, VQ_IN beta, int64_t rows, int64_t c, VQ_OUT sum,
                      VQ_OUT product) {
  std::fill(sum, sum + c, 0.0f);
  std::fill(product, product + c, 0.0f);
  for (int64_t r = 0; r < rows; ++r, x += c, dy += c)
    for (int64_t k = 0; k < c; ++k) {
      const float centred = x[k] - mean[k], d = dy[k];
      const float g = passed<Relu>(d, centred, scale[k], beta[k]);
      sum[k] += g;
      product[k] += g * centred;
    }
}
void gradient_sums(const float* x, const float* dy, const float* mean, const float* scale, const float* beta,
                   int64_t rows, int64_t c, bool relu, float* sum, float* product) {
  if (relu) gradient_sums_of<true>(x, dy, mean, scale, beta, rows, c, sum, product);
  else gradient_sums_of<false>(x, dy, mean, scale, beta, rows, c, sum, product);
}

// dx = scale·g − a − (x − mean)·b, with a and b what the backward pass subtracts for mean and deviation.
template <bool Relu>
void input_gradient_of(VQ_IN x, VQ_IN dy, VQ_IN mean, VQ_IN scale, VQ_IN beta, VQ_IN a, VQ_IN b, int64_t rows, int64_t c,
                       VQ_OUT dx) {
  for (int64_t r = 0; r < rows; ++r, x += c, dy += c, dx += c)
    for (int64_t k = 0; k < c; ++k) {
      const float centred = x[k] - mean[k], d = dy[k];
      const float g = passed<Relu>(d, centred, scale[k], beta[k]);
      dx[k] = scale[k] * g - a[k] - centred * b[k];
    }
}
void input_gradient(const float* x, const float* dy, const float* mean, const float* scale, const float* beta,
                    const float* a, const float* b, int64_t rows, int64_t c, bool relu, float* dx) {
  if (relu) input_gradient_of<true>(x, dy, mean, scale, beta, a, b, rows, c, dx);
  else input_gradient_of<false>(x, dy, mean, scale, beta, a, b, rows, c, dx);
}

#undef VQ_IN
#undef VQ_OUT

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#endif  // VQ_CHANNEL_ROWS_INL_H
