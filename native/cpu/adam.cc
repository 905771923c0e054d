// One step of Adam over many parameters in one call.
// Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 1; with decoupled decay Loshchilov and Hutter 2019.
#include <algorithm>
#include <cmath>

#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/adam.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

#ifndef VQ_ADAM_ONCE
#define VQ_ADAM_ONCE
namespace vq {
struct AdamScalars {
  float step_size, root_scale, beta1, rest1, beta2, rest2, epsilon, coupled_decay, shrink, gradient_scale;
};
}  // namespace vq
#endif

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {

// In vectors by hand: the compiler leaves loops with std::sqrt, which may set errno, one element at a time.
void adam(const AdamScalars& s, const float* g, float* p, float* m, float* v, int64_t n) {
  using namespace simd;
  const VF scale = set(s.gradient_scale), decay = set(s.coupled_decay), beta1 = set(s.beta1), rest1 = set(s.rest1);
  const VF beta2 = set(s.beta2), rest2 = set(s.rest2), shrink = set(s.shrink), step_size = set(s.step_size);
  const VF root_scale = set(s.root_scale), epsilon = set(s.epsilon);
  for (int64_t i = 0; i < n; i += lanes()) {
    const int64_t k = std::min(lanes(), n - i);
    const VF old = part(p + i, k);
    const VF gradient = hn::Add(hn::Mul(part(g + i, k), scale), hn::Mul(old, decay));
    const VF first = hn::Add(hn::Mul(part(m + i, k), beta1), hn::Mul(gradient, rest1));
    const VF second = hn::Add(hn::Mul(part(v + i, k), beta2), hn::Mul(hn::Mul(gradient, gradient), rest2));
    const VF root = hn::Add(hn::Mul(hn::Sqrt(second), root_scale), epsilon);
    put_part(first, m + i, k);
    put_part(second, v + i, k);
    put_part(hn::Sub(hn::Mul(old, shrink), hn::Div(hn::Mul(first, step_size), root)), p + i, k);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(adam);

// Arguments: learning rate, step, beta1, beta2, epsilon, weight decay, decoupled, gradient scale, count, then per
// parameter: size, gradient, parameter, first moment, second moment (the last three in place).
VQ_OP(AdamStep) {
  const double rate = args.number(), step = args.number(), beta1 = args.number(), beta2 = args.number();
  const double epsilon = args.number(), decay = args.number();
  const bool decoupled = args.flag();
  AdamScalars s{};
  s.gradient_scale = args.real();
  s.step_size = static_cast<float>(rate / (1 - std::pow(beta1, step)));
  s.root_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step)));
  s.beta1 = static_cast<float>(beta1);
  s.rest1 = static_cast<float>(1 - beta1);
  s.beta2 = static_cast<float>(beta2);
  s.rest2 = static_cast<float>(1 - beta2);
  s.epsilon = static_cast<float>(epsilon);
  s.coupled_decay = decoupled ? 0.0f : static_cast<float>(decay);
  s.shrink = decoupled ? static_cast<float>(1 - rate * decay) : 1.0f;
  for (int64_t i = args.integer(); i > 0; --i) {
    const int64_t n = args.integer();
    const float* g = args.tensor<float>(n);
    float *p = args.tensor<float>(n), *m = args.tensor<float>(n), *v = args.tensor<float>(n);
    parallel_for(n, 1 << 14, args.ctx.threads, [&](int64_t b, int64_t e) {
      HWY_DYNAMIC_DISPATCH(adam)(s, g + b, p + b, m + b, v + b, e - b);
    });
  }
}

}  // namespace vq
#endif  // HWY_ONCE
