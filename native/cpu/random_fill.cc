// Tensors of random numbers and dropout, from Philox's counter alone: the same run of blocks gives the same numbers on any
// number of threads, and a gradient draws a mask again instead of keeping it.
#include <algorithm>
#include <cmath>

#include "vq/dropout.h"
#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/random_fill.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/philox-inl.h"
#include "cpu/simd_math-inl.h"

#ifndef VQ_RANDOM_FILL_ONCE
#define VQ_RANDOM_FILL_ONCE
namespace vq {
enum class Distribution { kUniform = 0, kNormal, kTruncatedNormal, kBernoulli };
}  // namespace vq
#endif

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

// The upper 24 bits, as a number from 0 to 2^24 − 1.
HWY_INLINE VF upper_bits(VU w) { return hn::ConvertTo(F(), hn::BitCast(I(), hn::ShiftRight<8>(w))); }

// Cosine and sine of t turns, t in [0, 1). Polynomials: Cephes, sinf and cosf.
HWY_INLINE void turn(VF t, VF& cosine, VF& sine) {
  const VF four = hn::Mul(t, set(4.0f));
  const VI quarter = hn::NearestInt(four);
  const VF x = hn::Mul(hn::Sub(four, hn::ConvertTo(F(), quarter)), set(1.57079632679f)), z = hn::Mul(x, x);
  VF s = set(-1.9515295891e-4f);
  s = hn::MulAdd(s, z, set(8.3321608736e-3f));
  s = hn::MulAdd(s, z, set(-1.6666654611e-1f));
  s = hn::MulAdd(hn::Mul(s, z), x, x);
  VF c = set(2.443315711809948e-5f);
  c = hn::MulAdd(c, z, set(-1.388731625493765e-3f));
  c = hn::MulAdd(c, z, set(4.166664568298827e-2f));
  c = hn::MulAdd(hn::Mul(c, z), z, hn::NegMulAdd(set(0.5f), z, set(1.0f)));
  const auto odd = hn::RebindMask(F(), hn::Eq(hn::And(quarter, hn::Set(I(), 1)), hn::Set(I(), 1)));
  const VF a = hn::IfThenElse(odd, s, c), b = hn::IfThenElse(odd, c, s);
  const VI next = hn::Add(quarter, hn::Set(I(), 1));
  // Cosine is negative in the second and third quarter, sine in the third and fourth.
  const VI cs = hn::ShiftLeft<30>(hn::And(next, hn::Set(I(), 2))), ss = hn::ShiftLeft<30>(hn::And(quarter, hn::Set(I(), 2)));
  cosine = hn::Xor(a, hn::BitCast(F(), cs));
  sine = hn::Xor(b, hn::BitCast(F(), ss));
}

// A pair of standard normal numbers from two words. Box and Muller 1958.
HWY_INLINE void normal_pair(VU first, VU second, VF& a, VF& b) {
  const VF u = hn::Mul(hn::Add(upper_bits(first), set(1.0f)), set(0x1p-24f));  // in (0, 1]
  const VF radius = hn::Sqrt(hn::Mul(set(-2.0f), log(u)));
  VF c, s;
  turn(hn::Mul(upper_bits(second), set(0x1p-24f)), c, s);
  a = hn::Mul(radius, c);
  b = hn::Mul(radius, s);
}

// Quantile of the standard normal distribution cut at ±2: √2·erf⁻¹ of a number in ±erf(√2), where one polynomial serves.
// Giles 2010, "Approximating the erfinv function", table 5, central region.
HWY_INLINE VF truncated_normal(VU w) {
  const VF u = hn::Mul(hn::Add(upper_bits(w), set(0.5f)), set(0x1p-24f));
  const VF x = hn::Mul(hn::MulAdd(u, set(2.0f), set(-1.0f)), set(0.95449973610364f));
  const VF t = hn::Sub(hn::Neg(log(hn::NegMulAdd(x, x, set(1.0f)))), set(2.5f));
  VF p = set(2.81022636e-08f);
  p = hn::MulAdd(p, t, set(3.43273939e-07f));
  p = hn::MulAdd(p, t, set(-3.5233877e-06f));
  p = hn::MulAdd(p, t, set(-4.39150654e-06f));
  p = hn::MulAdd(p, t, set(0.00021858087f));
  p = hn::MulAdd(p, t, set(-0.00125372503f));
  p = hn::MulAdd(p, t, set(-0.00417768164f));
  p = hn::MulAdd(p, t, set(0.246640727f));
  p = hn::MulAdd(p, t, set(1.50140941f));
  const VF z = hn::Mul(hn::Mul(p, x), set(1.41421356237f));
  return hn::Min(hn::Max(z, set(-2.0f)), set(2.0f));
}

}  // namespace

// Uniform in [a, b], normal of mean a and deviation b (cut at two deviations or not), or 1 with probability a, else 0.
void random_fill(Distribution kind, const PhiloxPosition& at, uint64_t block, int64_t n, double a, double b, float* out) {
  const VF first = set(static_cast<float>(a)), second = set(static_cast<float>(b));
  if (kind == Distribution::kUniform) {
    const VF span = set(static_cast<float>((b - a) * 0x1p-24));
    philox_words(at, block, n, out, [&](const VU* w, VF* v) HWY_ATTR {
      for (int k = 0; k < 4; ++k) v[k] = hn::MulAdd(upper_bits(w[k]), span, first);
    });
  } else if (kind == Distribution::kNormal) {
    philox_words(at, block, n, out, [&](const VU* w, VF* v) HWY_ATTR {
      normal_pair(w[0], w[1], v[0], v[1]);
      normal_pair(w[2], w[3], v[2], v[3]);
      for (int k = 0; k < 4; ++k) v[k] = hn::MulAdd(v[k], second, first);
    });
  } else if (kind == Distribution::kTruncatedNormal) {
    philox_words(at, block, n, out, [&](const VU* w, VF* v) HWY_ATTR {
      for (int k = 0; k < 4; ++k) v[k] = hn::MulAdd(truncated_normal(w[k]), second, first);
    });
  } else {
    const VI below = hn::Set(I(), static_cast<int32_t>(std::ceil(a * 16777216.0)));
    philox_words(at, block, n, out, [&](const VU* w, VF* v) HWY_ATTR {
      for (int k = 0; k < 4; ++k) {
        const auto yes = hn::Lt(hn::BitCast(I(), hn::ShiftRight<8>(w[k])), below);
        v[k] = hn::IfThenElseZero(hn::RebindMask(F(), yes), set(1.0f));
      }
    });
  }
}

void dropout(const Dropout& d, uint64_t block, const float* x, int64_t n, float* y) {
  keep_factors(d.at, block, n, d.threshold, d.keep, y);
  map<false>(x, y, y, n, [](VF v, VF f) HWY_ATTR { return hn::Mul(v, f); });
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(random_fill);
HWY_EXPORT(dropout);
namespace {

constexpr int64_t kRun = 4096;  // elements at a time, whole blocks of four

template <class Body>
void over_runs(Context& c, int64_t n, const Body& body) {
  parallel_for((n + kRun - 1) / kRun, 2, c.threads, [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r) body(r * kRun, std::min(kRun, n - r * kRun));
  });
}

}  // namespace

// Arguments: distribution, count, a, b, the position, out.
VQ_OP(RandomFill) {
  const int64_t kind = args.integer(), n = args.integer();
  if (kind < 0 || kind > 3) fail(Error::kValue, "no such distribution");
  const double a = args.number(), b = args.number();
  uint64_t block = 0;
  const PhiloxPosition at = philox_position(args, block);
  float* out = args.tensor<float>(n);
  over_runs(args.ctx, n, [&](int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(random_fill)(static_cast<Distribution>(kind), at, block + first / 4, count, a, b, out + first);
  });
}

// y = x·(kept / (1 − rate) or 0). Arguments: count, rate, the position, x, y.
VQ_OP(Dropout) {
  const int64_t n = args.integer();
  const Dropout d = dropout_arguments(args);
  const float* x = args.tensor<float>(n);
  float* y = args.tensor<float>(n);
  over_runs(args.ctx, n, [&](int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(dropout)(d, d.block + first / 4, x + first, count, y + first);
  });
}

}  // namespace vq
#endif  // HWY_ONCE
