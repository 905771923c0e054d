// Finite scalar quantization on whole vectors: the arithmetic of vq/fsq.h in the same order.
#include <cstring>
#include <string>

#include "cpu/level_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/level_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

#if HWY_TARGET != HWY_SCALAR  // its multiply-add is not fused; level_scalar.cc takes its place
HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
using namespace simd;

HWY_INLINE VF whole(VF x) { return hn::Sub(hn::Add(x, set(12582912.0f)), set(12582912.0f)); }

HWY_INLINE VF level_tanh(VF x) {
  const VF magnitude = hn::Abs(x), near = tanh_near(x);
  const VF a = hn::Min(magnitude, set(10.0f)), twice = hn::Add(a, a);
  const VF n = whole(hn::Mul(twice, set(1.44269504088896341f)));
  VF r = hn::NegMulAdd(n, set(0.693359375f), twice);
  r = hn::NegMulAdd(n, set(-2.12194440e-4f), r);
  const VF e = hn::Mul(exp_polynomial(r), power_of_two(hn::ConvertTo(I(), n)));
  const VF t = hn::Sub(set(1.0f), hn::Div(set(2.0f), hn::Add(e, set(1.0f))));
  const VF far = hn::IfThenElse(hn::Lt(x, zero()), hn::Neg(t), t);
  return hn::IfThenElse(hn::Lt(magnitude, set(0.625f)), near, far);
}

HWY_INLINE VF before_rounding(const FsqPattern& p, int64_t i, VF z) {
  const VF t = level_tanh(hn::Add(z, load(p.shift.data() + i)));
  return hn::MulAdd(t, load(p.scale.data() + i), hn::Neg(load(p.offset.data() + i)));
}
HWY_INLINE VF value(const FsqPattern& p, int64_t i, VF level) {
  const VF v = hn::MulAdd(load(p.step.data() + i), level, hn::Neg(load(p.centre.data() + i)));
  return hn::Div(v, load(p.width.data() + i));
}

void levels(const FsqPattern& p, const float* z, int64_t count, float* out, float* values) {
  const int64_t step = lanes();
  for (int64_t i = 0; i < count; i += step) {
    const int64_t n = HWY_MIN(step, count - i);
    const VF level = hn::Add(whole(before_rounding(p, i, part(z + i, n))), load(p.zero.data() + i));
    put_part(level, out + i, n);
    if (values) put_part(value(p, i, level), values + i, n);
  }
}

void bounded(const FsqPattern& p, const float* z, int64_t count, float* out) {
  const int64_t step = lanes();
  for (int64_t i = 0; i < count; i += step) {
    const int64_t n = HWY_MIN(step, count - i);
    const VF b = hn::Add(before_rounding(p, i, part(z + i, n)), load(p.zero.data() + i));
    put_part(value(p, i, b), out + i, n);
  }
}

void gradient(const FsqPattern& p, const float* z, const float* dy, int64_t count, float* dz) {
  const int64_t step = lanes();
  for (int64_t i = 0; i < count; i += step) {
    const int64_t n = HWY_MIN(step, count - i);
    const VF t = level_tanh(hn::Add(part(z + i, n), load(p.shift.data() + i)));
    const VF slope = hn::Mul(hn::NegMulAdd(t, t, set(1.0f)), load(p.gain.data() + i));
    put_part(hn::Mul(slope, part(dy + i, n)), dz + i, n);
  }
}

const LevelKernels* table() {
  static const LevelKernels t = {levels, bounded, gradient};
  return &t;
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace vq {

// Null where that instruction set was not compiled in. `isa` is one of isa_list().
const LevelKernels* simd_levels(const char* isa) {
  const std::string name = isa;
#if HWY_TARGETS & HWY_AVX3
  if (name.rfind("avx512", 0) == 0) return N_AVX3::table();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (name == "avx2") return N_AVX2::table();
#endif
#if HWY_TARGETS & HWY_NEON
  if (name == "neon") return N_NEON::table();
#endif
  return nullptr;
}

}  // namespace vq
#endif
