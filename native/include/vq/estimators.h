// How a gradient g = dL/dq passes a quantizer q(z) to z, one row at a time, for the host and the device. Sums over a row run on
// kEstimatorLanes lanes, element d on lane d mod kEstimatorLanes in ascending d, and are joined by halving: every processor
// gives the same bits. Rows whose direction means nothing get the straight-through gradient, g itself.
#pragma once
#include "cuda/contract.h"

namespace vq::gpu {

enum class Estimator : int32_t { kStraightThrough = 0, kRotation = 1, kProjection = 2 };

constexpr int kEstimatorLanes = 16, kEstimatorSums = 3;
constexpr float kTinyLength = 1e-6f;  // a shorter vector has no direction

VQ_HD float lanes_joined(const float* lanes) {
  float t[kEstimatorLanes / 2];
  for (int i = 0; i < kEstimatorLanes / 2; ++i) t[i] = lanes[i] + lanes[i + kEstimatorLanes / 2];
  for (int half = kEstimatorLanes / 4; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) t[i] = t[i] + t[i + half];
  return t[0];
}

// An estimator adds up three sums over a row (first), learns from them (between), does so again where kTwice (second,
// finish), and then knows the gradient of every element. A sum that it does not name stays 0.

// Fifty et al. 2024, https://arxiv.org/abs/2410.06424, section 4: with e = z / |z|, u = q / |q|, r = (e + u) / |e + u|,
//   dz = |q| / |z| (g - 2 r (r.g) + 2 e (u.g)).
struct RotationRow {
  static constexpr bool kTwice = true;
  float z_scale, q_scale, z_length, q_length, along_sum, along_q;
  bool good;
  VQ_HD void first(float& zz, float& qq, float&, float z, float q, float) const {
    zz = zz + z * z;
    qq = qq + q * q;
  }
  VQ_HD void between(const float* s) {
    z_length = root(s[0]), q_length = root(s[1]);
    good = z_length > kTinyLength && q_length > kTinyLength;
    z_scale = good ? quotient(1.0f, z_length) : 0.0f, q_scale = good ? quotient(1.0f, q_length) : 0.0f;
  }
  VQ_HD float sum(float z, float q) const { return z * z_scale + q * q_scale; }
  VQ_HD void second(float& mm, float& mg, float& ug, float z, float q, float g) const {
    const float m = sum(z, q);
    mm = mm + m * m;
    mg = mg + m * g;
    ug = ug + q * q_scale * g;
  }
  VQ_HD void finish(const float* s) {
    good = good && root(s[0]) > kTinyLength;
    const float scale = good ? quotient(q_length, z_length) : 0.0f;
    along_sum = good ? quotient(2.0f * s[1], s[0]) * scale : 0.0f;
    along_q = 2.0f * s[2] * scale;
    q_length = scale;
  }
  VQ_HD float gradient(float z, float q, float g) const {
    const float turned = q_length * g - sum(z, q) * along_sum + z * z_scale * along_q;
    return good ? turned : g;
  }
};

// u = (q - z) / |q - z|, dz = (u.g) u: what moves z along the line to its code.
struct ProjectionRow {
  static constexpr bool kTwice = false;
  float share;
  bool good;
  VQ_HD void first(float& dd, float& dg, float&, float z, float q, float g) const {
    const float d = q - z;
    dd = dd + d * d;
    dg = dg + d * g;
  }
  VQ_HD void between(const float* s) {
    good = root(s[0]) > kTinyLength;
    share = good ? quotient(s[1], s[0]) : 0.0f;
  }
  VQ_HD void second(float&, float&, float&, float, float, float) const {}
  VQ_HD void finish(const float*) {}
  VQ_HD float gradient(float z, float q, float g) const { return good ? (q - z) * share : g; }
};

}  // namespace vq::gpu
