// Elementary functions on whole vectors of float32, and loads and stores of a row's last, incomplete vector. To be
// included after hwy/highway.h inside a foreach_target file. NaN stays NaN, infinities and subnormals are as in C.
// Reductions to the primary range and polynomials of exp, log and tanh: Moshier, Cephes Mathematical Library, expf, logf,
// tanhf. The polynomials of erf are least maximum fits of our own.
#if defined(VQ_SIMD_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VQ_SIMD_MATH_INL_H
#undef VQ_SIMD_MATH_INL_H
#else
#define VQ_SIMD_MATH_INL_H
#endif

#include <cstdint>
#include <cstring>
#include <limits>

#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace simd {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
using I = hn::RebindToSigned<F>;
using U = hn::RebindToUnsigned<F>;
using VF = hn::Vec<F>;
using VI = hn::Vec<I>;
using VU = hn::Vec<U>;

HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(F())); }
HWY_INLINE VF set(float v) { return hn::Set(F(), v); }
HWY_INLINE VF zero() { return hn::Zero(F()); }
HWY_INLINE VF load(const float* p) { return hn::LoadU(F(), p); }
HWY_INLINE void store(VF v, float* p) { hn::StoreU(v, F(), p); }

// The first n elements at p, n below a vector's length; `fill` in the other lanes.
HWY_INLINE VF load_part(const float* p, int64_t n, float fill = 0.0f) {
  const F f;
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  const auto first = hn::FirstN(f, static_cast<size_t>(n));
  return hn::IfThenElse(first, hn::MaskedLoad(first, f, p), hn::Set(f, fill));
#else
  HWY_ALIGN float lane[HWY_MAX_BYTES / sizeof(float)];
  for (int64_t i = 0; i < lanes(); ++i) lane[i] = i < n ? p[i] : fill;
  return hn::Load(f, lane);
#endif
}
HWY_INLINE void store_part(VF v, float* p, int64_t n) {
  const F f;
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(f, static_cast<size_t>(n)), f, p);
#else
  HWY_ALIGN float lane[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(v, f, lane);
  std::memcpy(p, lane, static_cast<size_t>(n) * sizeof(float));
#endif
}
// The same for n up to a vector's length.
HWY_INLINE VF part(const float* p, int64_t n, float fill = 0.0f) { return n == lanes() ? load(p) : load_part(p, n, fill); }
HWY_INLINE void put_part(VF v, float* p, int64_t n) {
  if (n == lanes()) store(v, p);
  else store_part(v, p, n);
}
// v where n lanes count, `fill` in the others.
HWY_INLINE VF keep_first(VF v, int64_t n, float fill = 0.0f) {
  const F f;
  return hn::IfThenElse(hn::FirstN(f, static_cast<size_t>(n)), v, hn::Set(f, fill));
}
template <bool kStream>
HWY_INLINE void put(VF v, float* p) {
  if (kStream) hn::Stream(v, F(), p);
  else hn::StoreU(v, F(), p);
}
// Stores past the caches want whole, aligned vectors.
HWY_INLINE bool aligned(const float* p) { return reinterpret_cast<uintptr_t>(p) % HWY_MAX_BYTES == 0; }

HWY_INLINE float sum(VF v) { return hn::GetLane(hn::SumOfLanes(F(), v)); }
HWY_INLINE float largest(VF v) { return hn::GetLane(hn::MaxOfLanes(F(), v)); }

HWY_INLINE VF power_of_two(VI n) {
  return hn::BitCast(F(), hn::ShiftLeft<23>(hn::Add(n, hn::Set(I(), 127))));
}

// e^r for |r| ≤ ½ log 2.
HWY_INLINE VF exp_polynomial(VF r) {
  VF p = set(1.9875691500e-4f);
  p = hn::MulAdd(p, r, set(1.3981999507e-3f));
  p = hn::MulAdd(p, r, set(8.3334519073e-3f));
  p = hn::MulAdd(p, r, set(4.1665795894e-2f));
  p = hn::MulAdd(p, r, set(1.6666665459e-1f));
  p = hn::MulAdd(p, r, set(5.0000001201e-1f));
  return hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), set(1.0f));
}

HWY_INLINE VF exp(VF x) {
  const VF bounded = hn::Min(hn::Max(x, set(-104.0f)), set(89.0f));
  const VI n = hn::NearestInt(hn::Mul(bounded, set(1.44269504088896341f)));
  const VF whole = hn::ConvertTo(F(), n);
  VF r = hn::NegMulAdd(whole, set(0.693359375f), bounded);
  r = hn::NegMulAdd(whole, set(-2.12194440e-4f), r);
  const VF p = exp_polynomial(r);
  // In two factors, so that what overflows and what is subnormal comes out right.
  const VI half = hn::ShiftRight<1>(n);
  const VF y = hn::Mul(hn::Mul(p, power_of_two(half)), power_of_two(hn::Sub(n, half)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// e^x for x ≤ 0 (and NaN); what would be subnormal is 0.
HWY_INLINE VF exp_negative(VF x) {
  const VF least = set(-87.33f);
  const VF bounded = hn::Max(least, x);  // in this order NaN stays
  const VI n = hn::NearestInt(hn::Mul(bounded, set(1.44269504088896341f)));
  const VF whole = hn::ConvertTo(F(), n);
  VF r = hn::NegMulAdd(whole, set(0.693359375f), bounded);
  r = hn::NegMulAdd(whole, set(-2.12194440e-4f), r);
  VF p = exp_polynomial(r);
  p = hn::BitCast(F(), hn::Add(hn::BitCast(I(), p), hn::ShiftLeft<23>(n)));
  p = hn::IfThenZeroElse(hn::Lt(x, least), p);
  return hn::IfThenElse(hn::IsNaN(x), x, p);
}

HWY_INLINE VF log(VF x) {
  const F f;
  const I i;
  const auto tiny = hn::Lt(x, set(1.17549435e-38f));
  const VF scaled = hn::IfThenElse(tiny, hn::Mul(x, set(8388608.0f)), x);
  const VI bits = hn::Sub(hn::BitCast(i, scaled), hn::Set(i, 0x3f3504f3));
  const VI exponent = hn::ShiftRight<23>(bits);
  const VF m = hn::BitCast(f, hn::Sub(hn::BitCast(i, scaled), hn::ShiftLeft<23>(exponent)));
  const VF e = hn::Sub(hn::ConvertTo(f, exponent), hn::IfThenElseZero(tiny, set(23.0f)));
  const VF t = hn::Sub(m, set(1.0f)), z = hn::Mul(t, t);
  VF p = set(7.0376836292e-2f);
  p = hn::MulAdd(p, t, set(-1.1514610310e-1f));
  p = hn::MulAdd(p, t, set(1.1676998740e-1f));
  p = hn::MulAdd(p, t, set(-1.2420140846e-1f));
  p = hn::MulAdd(p, t, set(1.4249322787e-1f));
  p = hn::MulAdd(p, t, set(-1.6668057665e-1f));
  p = hn::MulAdd(p, t, set(2.0000714765e-1f));
  p = hn::MulAdd(p, t, set(-2.4999993993e-1f));
  p = hn::MulAdd(p, t, set(3.3333331174e-1f));
  VF y = hn::Mul(hn::Mul(p, t), z);
  y = hn::MulAdd(e, set(-2.12194440e-4f), y);
  y = hn::NegMulAdd(set(0.5f), z, y);
  y = hn::MulAdd(e, set(0.693359375f), hn::Add(t, y));
  const float inf = std::numeric_limits<float>::infinity();
  y = hn::IfThenElse(hn::Eq(x, zero()), set(-inf), y);
  y = hn::IfThenElse(hn::Lt(x, zero()), set(std::numeric_limits<float>::quiet_NaN()), y);
  return hn::IfThenElse(hn::Lt(x, set(inf)), y, x);  // infinity and NaN stay
}

// tanh for |x| < 0.625.
HWY_INLINE VF tanh_near(VF x) {
  const VF z = hn::Mul(x, x);
  VF p = set(-5.70498872745e-3f);
  p = hn::MulAdd(p, z, set(2.06390887954e-2f));
  p = hn::MulAdd(p, z, set(-5.37397155531e-2f));
  p = hn::MulAdd(p, z, set(1.33314422036e-1f));
  p = hn::MulAdd(p, z, set(-3.33332819422e-1f));
  return hn::MulAdd(hn::Mul(p, z), x, x);
}

HWY_INLINE VF tanh(VF x) {
  const VF a = hn::Abs(x), near = tanh_near(x);
  const VF far = hn::Sub(set(1.0f), hn::Div(set(2.0f), hn::Add(exp(hn::Add(a, a)), set(1.0f))));
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, set(0.625f)), near, far), x);
}

HWY_INLINE VF sigmoid(VF x) {
  return hn::Div(set(1.0f), hn::Add(set(1.0f), exp(hn::Neg(x))));
}

// 1 − erf(t) for t ≥ 0, to 4e-9 absolute and, up to t = 4, 1e-5 relative: exp(−t·P(t)); the tail beyond 4 falls as exp(−t²).
HWY_INLINE VF erfc_positive(VF t) {
  const VF c = hn::Min(t, set(4.0f));
  VF p = set(7.520051212850376e-07f);
  p = hn::MulAdd(p, c, set(-1.5240440006891731e-05f));
  p = hn::MulAdd(p, c, set(0.00013293811935000122f));
  p = hn::MulAdd(p, c, set(-0.0006371421623043716f));
  p = hn::MulAdd(p, c, set(0.0016199491219595075f));
  p = hn::MulAdd(p, c, set(-6.948663940420374e-05f));
  p = hn::MulAdd(p, c, set(-0.01922640949487686f));
  p = hn::MulAdd(p, c, set(0.10280617326498032f));
  p = hn::MulAdd(p, c, set(0.6366145610809326f));
  p = hn::MulAdd(p, c, set(1.128379464149475f));
  const VF beyond = hn::Sub(t, c);
  const VF g = hn::MulAdd(beyond, hn::Add(t, c), hn::Mul(p, c));
  return exp(hn::IfThenElse(hn::IsNaN(t), t, hn::Neg(g)));
}

HWY_INLINE VF erf(VF x) {
  const VF z = hn::Mul(x, x);
  VF p = set(7.854042632970959e-05f);
  p = hn::MulAdd(p, z, set(-0.0008010252495296299f));
  p = hn::MulAdd(p, z, set(0.005188335198909044f));
  p = hn::MulAdd(p, z, set(-0.026853816583752632f));
  p = hn::MulAdd(p, z, set(0.1128358542919159f));
  p = hn::MulAdd(p, z, set(-0.3761262595653534f));
  p = hn::MulAdd(p, z, set(1.1283791065216064f));
  const VF a = hn::Abs(x);
  const VF far = hn::CopySign(hn::Sub(set(1.0f), erfc_positive(a)), x);
  return hn::IfThenElse(hn::Lt(a, set(0.9f)), hn::Mul(p, x), far);
}

// Φ(x), the standard normal distribution function, given e^(−x²/2); no cancellation in the left tail. erfc(t)·e^(t²) is a
// polynomial in 1 / (1 + 0.36t): 2e-8 absolute, 1e-5 relative down to Φ = 1e-3.
HWY_INLINE VF normal_cdf(VF x, VF bell) {
  const VF s = hn::Div(set(1.0f), hn::MulAdd(hn::Abs(x), set(0.36f * 0.70710678118f), set(1.0f)));
  VF p = set(-0.1621154546737671f);
  p = hn::MulAdd(p, s, set(0.557529091835022f));
  p = hn::MulAdd(p, s, set(-0.34380075335502625f));
  p = hn::MulAdd(p, s, set(0.41778165102005005f));
  p = hn::MulAdd(p, s, set(0.11302537471055984f));
  p = hn::MulAdd(p, s, set(0.21523968875408173f));
  p = hn::MulAdd(p, s, set(0.20234043896198273f));
  const VF tail = hn::Mul(hn::Mul(set(0.5f), bell), hn::Mul(p, s));
  return hn::IfThenElse(hn::Lt(x, zero()), tail, hn::Sub(set(1.0f), tail));
}

// out[i] = f(x[i]) and out[i] = f(x[i], y[i]) over vectors.
template <bool kStream, class Function>
HWY_INLINE void map(const float* x, float* out, int64_t n, const Function& f) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) put<kStream>(f(load(x + i)), out + i);
  if (i < n) store_part(f(load_part(x + i, n - i)), out + i, n - i);
  if (kStream) hwy::FlushStream();
}
template <bool kStream, class Function>
HWY_INLINE void map(const float* x, const float* y, float* out, int64_t n, const Function& f) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) put<kStream>(f(load(x + i), load(y + i)), out + i);
  if (i < n) store_part(f(load_part(x + i, n - i), load_part(y + i, n - i)), out + i, n - i);
  if (kStream) hwy::FlushStream();
}

}  // namespace simd
}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#endif  // VQ_SIMD_MATH_INL_H
