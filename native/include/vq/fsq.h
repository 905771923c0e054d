// Finite scalar quantization, element by element, for the host and the device: additions, multiplications, fused
// multiply-adds and divisions in a fixed order and nothing of libm, so that every processor finds the same levels.
// Mentzer et al. 2023, https://arxiv.org/abs/2309.15505, appendix A.1:
//   bound(z) = tanh(z + tan(o / h)) h - o,  h = (L - 1)(1 - 1e-3) / 2,  o = 1/2 for even L, else 0
//   value = round(bound(z)) / floor(L / 2)
// Parker et al. 2024, https://arxiv.org/abs/2411.19842, section 3.2, keeps the levels symmetric about 0:
//   value = 2 / (L - 1) round((L - 1)(tanh(z) + 1) / 2) - 1
// Ties round to even. tanh: Moshier, Cephes Mathematical Library, tanhf and expf.
#pragma once
#include <cstring>

#include "cuda/contract.h"

namespace vq::gpu {

enum class FsqBound : int32_t { kOriginal = 0, kSymmetric = 1 };

// One dimension. level = round(fma(tanh(z + shift), scale, -offset)) + zero; value = (step level - centre) / width.
struct FsqColumn {
  float shift, scale, offset, zero, step, centre, width;
};

constexpr int32_t kFsqMostLevels = 65536;  // float32 tells no more apart between -1 and 1

// tan(x) for 0 <= x < 1.1, to the last bits of a double, by its series: libm's differ between systems.
inline double fsq_tangent(double x) {
  double sine = 0, cosine = 0, term = 1;
  for (int i = 0; i < 30; ++i) {
    (i % 2 ? sine : cosine) += i % 4 < 2 ? term : -term;
    term *= x / (i + 1);
  }
  return sine / cosine;
}

inline FsqColumn fsq_column(int32_t levels, FsqBound bound) {
  const double l = levels;
  if (bound == FsqBound::kSymmetric) {
    const float most = static_cast<float>(l - 1), half = static_cast<float>((l - 1) / 2);
    return {0.0f, half, -half, 0.0f, 2.0f, most, most};
  }
  const double half = (l - 1) * (1 - 1e-3) / 2, offset = levels % 2 == 0 ? 0.5 : 0.0;
  const float width = static_cast<float>(levels / 2);
  return {static_cast<float>(fsq_tangent(offset / half)), static_cast<float>(half), static_cast<float>(offset),
          width, 1.0f, width, width};
}

VQ_HD float two_to_the(int32_t n) {
  const int32_t bits = (n + 127) << 23;
#ifdef __CUDA_ARCH__
  return __int_as_float(bits);
#else
  float v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
#endif
}
// To the nearest whole number, ties to even, for |x| < 2^22.
VQ_HD float nearest_whole(float x) { return (x + 12582912.0f) - 12582912.0f; }

VQ_HD float exp_polynomial(float r) {
  float p = 1.9875691500e-4f;
  p = fused(p, r, 1.3981999507e-3f);
  p = fused(p, r, 8.3334519073e-3f);
  p = fused(p, r, 4.1665795894e-2f);
  p = fused(p, r, 1.6666665459e-1f);
  p = fused(p, r, 5.0000001201e-1f);
  return fused(p, r * r, r) + 1.0f;
}

// tanh of a finite x, to 2e-7 or so.
VQ_HD float fsq_tanh(float x) {
  const float magnitude = x < 0 ? -x : x;
  if (magnitude < 0.625f) {
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = fused(p, z, 2.06390887954e-2f);
    p = fused(p, z, -5.37397155531e-2f);
    p = fused(p, z, 1.33314422036e-1f);
    p = fused(p, z, -3.33332819422e-1f);
    return fused(p * z, x, x);
  }
  const float a = magnitude < 10.0f ? magnitude : 10.0f, twice = a + a;
  const float n = nearest_whole(twice * 1.44269504088896341f);
  float r = fused(-n, 0.693359375f, twice);
  r = fused(-n, -2.12194440e-4f, r);
  const float e = exp_polynomial(r) * two_to_the(static_cast<int32_t>(n));
  const float t = 1.0f - quotient(2.0f, e + 1.0f);
  return x < 0 ? -t : t;
}

// From 0 to L - 1, a whole number.
VQ_HD float fsq_level(const FsqColumn& c, float z) {
  return nearest_whole(fused(fsq_tanh(z + c.shift), c.scale, -c.offset)) + c.zero;
}
VQ_HD float fsq_value(const FsqColumn& c, float level) { return quotient(fused(c.step, level, -c.centre), c.width); }
// What is rounded, on the scale of the values.
VQ_HD float fsq_bounded(const FsqColumn& c, float z) {
  return fsq_value(c, fused(fsq_tanh(z + c.shift), c.scale, -c.offset) + c.zero);
}
// The derivative of fsq_bounded, and the factor in it that the column alone has.
VQ_HD float fsq_gain(const FsqColumn& c) { return quotient(c.scale * c.step, c.width); }
VQ_HD float fsq_slope(const FsqColumn& c, float gain, float z) {
  const float t = fsq_tanh(z + c.shift);
  return fused(-t, t, 1.0f) * gain;
}
VQ_HD float fsq_slope(const FsqColumn& c, float z) { return fsq_slope(c, fsq_gain(c), z); }

}  // namespace vq::gpu
