// Lookup-free quantization, element by element, for the host and the device.
// Yu et al. 2023, https://arxiv.org/abs/2310.05737, equations 3 and 4: bit j of a code is z_j > 0, the first bit is the
// highest, its value is +scale or -scale. Against the codes c the distribution is softmax over c of 2 t z.c (t the
// inverse temperature), which is a product over the bits: with a = 4 t scale z_j, p(bit j = 1) = 1 / (1 + e^-a).
#pragma once
#include "vq/fsq.h"

namespace vq::gpu {

VQ_HD int32_t lfq_bit(float z) { return z > 0.0f ? 1 : 0; }
VQ_HD float lfq_value(int32_t bit, float scale) { return bit != 0 ? scale : -scale; }
VQ_HD int32_t lfq_append(int32_t code, int32_t bit) { return static_cast<int32_t>(static_cast<uint32_t>(code) << 1) | bit; }
VQ_HD int32_t lfq_bit_of(int32_t code, int64_t bits, int64_t j) { return (code >> (bits - 1 - j)) & 1; }

// The entropies use what follows: like fsq.h additions, multiplications and divisions in a fixed order, so that every device
// gives the same bits. exp and log: Moshier, Cephes Mathematical Library, expf and logf.

// e^x for x <= 0, to 2e-7 or so of itself; what would be subnormal is 0.
VQ_HD float exp_negative(float x) {
  if (!(x >= -87.33f)) return 0.0f;
  const float n = nearest_whole(x * 1.44269504088896341f);
  float r = fused(-n, 0.693359375f, x);
  r = fused(-n, -2.12194440e-4f, r);
  return exp_polynomial(r) * two_to_the(static_cast<int32_t>(n));
}

// log of a normal positive number.
VQ_HD float natural_log(float x) {
  const int32_t bits = bits_of(x) - 0x3f3504f3, exponent = bits >> 23;
  const float e = static_cast<float>(exponent), t = float_of(bits_of(x) - exponent * (1 << 23)) - 1.0f, z = t * t;
  float p = 7.0376836292e-2f;
  p = fused(p, t, -1.1514610310e-1f);
  p = fused(p, t, 1.1676998740e-1f);
  p = fused(p, t, -1.2420140846e-1f);
  p = fused(p, t, 1.4249322787e-1f);
  p = fused(p, t, -1.6668057665e-1f);
  p = fused(p, t, 2.0000714765e-1f);
  p = fused(p, t, -2.4999993993e-1f);
  p = fused(p, t, 3.3333331174e-1f);
  float y = p * t * z;
  y = fused(e, -2.12194440e-4f, y);
  y = fused(-0.5f, z, y);
  return fused(e, 0.693359375f, t + y);
}

constexpr float kLfqCertain = 88.0f;  // log odds beyond which the smaller probability is 0
VQ_HD float lfq_log_odds(float kappa, float z) {
  const float a = kappa * z;
  return a > kLfqCertain ? kLfqCertain : a < -kLfqCertain ? -kLfqCertain : a;
}
// p[value] of a bit with log odds a, and its entropy in nats: log(1 + e^-|a|) + |a| min(p).
VQ_HD float lfq_probabilities(float a, float* p) {
  const float size = a < 0 ? -a : a, e = exp_negative(-size);
  const float larger = quotient(1.0f, 1.0f + e), smaller = e * larger;
  p[0] = a > 0 ? smaller : larger;
  p[1] = a > 0 ? larger : smaller;
  return fused(size, smaller, natural_log(1.0f + e));
}

constexpr float kLfqLeast = 1.17549435e-38f;  // what the mean distribution has at least, so that its log is finite
VQ_HD float lfq_slope(float p) { return -(natural_log(p) + 1.0f); }

}  // namespace vq::gpu
