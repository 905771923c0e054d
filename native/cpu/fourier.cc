// The discrete Fourier transform of each row, O(n log n) for every n, computed in double: radix 2 where n is a power of
// two, else Bluestein's algorithm (L. Bluestein, "A linear filtering approach to the computation of discrete Fourier
// transform", IEEE Trans. Audio Electroacoustics 18, 1970), a convolution with a chirp at the next power of two.
#include <cmath>
#include <complex>
#include <utility>
#include <vector>

#include "vq/op.h"
#include "vq/threads.h"

namespace vq {
namespace {

using Complex = std::complex<double>;
constexpr double kPi = 3.14159265358979323846;

// Plain products: std::complex's own check for infinities at every step.
inline Complex times(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}
inline Complex turn(double fraction) { return {std::cos(2 * kPi * fraction), std::sin(2 * kPi * fraction)}; }

class PowerOfTwo {
 public:
  explicit PowerOfTwo(int64_t n) : n_(n), roots_(n / 2) {
    for (int64_t i = 0; i < n / 2; ++i) roots_[i] = turn(-static_cast<double>(i) / n);
  }
  // In place; the inverse is not divided by n.
  void run(Complex* x, bool inverse) const {
    for (int64_t i = 1, j = 0; i < n_; ++i) {
      int64_t bit = n_ >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) std::swap(x[i], x[j]);
    }
    for (int64_t half = 1; half < n_; half *= 2) {
      const int64_t step = n_ / (2 * half);
      for (int64_t start = 0; start < n_; start += 2 * half)
        for (int64_t k = 0; k < half; ++k) {
          const Complex root = inverse ? std::conj(roots_[k * step]) : roots_[k * step];
          const Complex odd = times(x[start + k + half], root), even = x[start + k];
          x[start + k] = even + odd;
          x[start + k + half] = even - odd;
        }
    }
  }

 private:
  int64_t n_;
  std::vector<Complex> roots_;
};

int64_t at_least(int64_t n) {
  int64_t p = 1;
  while (p < n) p *= 2;
  return p;
}

class Transform {
 public:
  explicit Transform(int64_t n) : n_(n), direct_((n & (n - 1)) == 0), padded_(direct_ ? n : at_least(2 * n - 1)), inner_(padded_) {
    if (direct_) return;
    chirp_.resize(n);
    // k² modulo 2n keeps the angle exact.
    for (int64_t k = 0; k < n; ++k) chirp_[k] = turn(-static_cast<double>(k * k % (2 * n)) / (2.0 * n));
    filter_.assign(padded_, 0);
    for (int64_t k = 0; k < n; ++k) filter_[k] = filter_[(padded_ - k) % padded_] = std::conj(chirp_[k]);
    inner_.run(filter_.data(), false);
  }
  int64_t padded() const { return padded_; }
  // x holds padded() elements, the first n of them the row.
  void run(Complex* x) const {
    if (direct_) return inner_.run(x, false);
    for (int64_t k = 0; k < n_; ++k) x[k] = times(x[k], chirp_[k]);
    std::fill(x + n_, x + padded_, Complex(0));
    inner_.run(x, false);
    for (int64_t k = 0; k < padded_; ++k) x[k] = times(x[k], filter_[k]);
    inner_.run(x, true);
    for (int64_t k = 0; k < n_; ++k) x[k] = times(x[k], chirp_[k]) / static_cast<double>(padded_);
  }

 private:
  int64_t n_;
  bool direct_;
  int64_t padded_;
  PowerOfTwo inner_;
  std::vector<Complex> chirp_, filter_;
};

}  // namespace

// Arguments: inverse, rows, n, real, imaginary, out real, out imaginary. The inverse is divided by n.
VQ_OP(Fourier) {
  const bool inverse = args.flag();
  const int64_t rows = args.integer(), n = args.integer();
  const float *re = args.tensor<float>(rows * n), *im = args.tensor<float>(rows * n);
  float *out_re = args.tensor<float>(rows * n), *out_im = args.tensor<float>(rows * n);
  if (rows * n == 0) return;
  check(n < (int64_t{1} << 31), "rows are longer than 2^31");
  const Transform transform(n);
  parallel_for(rows, std::max<int64_t>(1, 4096 / n), args.ctx.threads, [&](int64_t b, int64_t e) {
    std::vector<Complex> x(transform.padded());
    // The inverse is the conjugate of the transform of the conjugate.
    const double sign = inverse ? -1 : 1, scale = inverse ? 1.0 / n : 1;
    for (int64_t r = b; r < e; ++r) {
      for (int64_t k = 0; k < n; ++k) x[k] = {re[r * n + k], sign * im[r * n + k]};
      transform.run(x.data());
      for (int64_t k = 0; k < n; ++k) {
        out_re[r * n + k] = static_cast<float>(x[k].real() * scale);
        out_im[r * n + k] = static_cast<float>(sign * x[k].imag() * scale);
      }
    }
  });
}

}  // namespace vq
