// One step of gradient descent over many parameters in one call, and scaling of many tensors.
// Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning", in PyTorch's form.
#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/sgd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef VQ_SGD_ONCE
#define VQ_SGD_ONCE
namespace vq {
struct SgdScalars {
  float rate, momentum, decay, gradient_scale;
  bool nesterov;
};
}  // namespace vq
#endif

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {

void sgd(const SgdScalars& s, const float* HWY_RESTRICT g, float* HWY_RESTRICT p, float* HWY_RESTRICT v, int64_t n) {
  const SgdScalars k = s;
  if (!v) {
    for (int64_t i = 0; i < n; ++i) p[i] -= k.rate * (g[i] * k.gradient_scale + p[i] * k.decay);
  } else if (k.nesterov) {
    for (int64_t i = 0; i < n; ++i) {
      const float gradient = g[i] * k.gradient_scale + p[i] * k.decay;
      v[i] = v[i] * k.momentum + gradient;
      p[i] -= k.rate * (gradient + k.momentum * v[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      v[i] = v[i] * k.momentum + (g[i] * k.gradient_scale + p[i] * k.decay);
      p[i] -= k.rate * v[i];
    }
  }
}

void scale_by(const float* HWY_RESTRICT x, float factor, float* HWY_RESTRICT out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * factor;
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(sgd);
HWY_EXPORT(scale_by);

// Arguments: learning rate, momentum, nesterov, weight decay, gradient scale, count, then per parameter: size, gradient,
// parameter, velocity or -1 (the last two in place).
VQ_OP(SgdStep) {
  SgdScalars s{};
  s.rate = args.real();
  s.momentum = args.real();
  s.nesterov = args.flag();
  s.decay = args.real();
  s.gradient_scale = args.real();
  for (int64_t i = args.integer(); i > 0; --i) {
    const int64_t n = args.integer();
    const float* g = args.tensor<float>(n);
    float *p = args.tensor<float>(n), *v = args.optional<float>(n);
    parallel_for(n, 1 << 14, args.ctx.threads, [&](int64_t b, int64_t e) {
      HWY_DYNAMIC_DISPATCH(sgd)(s, g + b, p + b, v ? v + b : nullptr, e - b);
    });
  }
}

// Arguments: factor, count, then per tensor: size, x, out.
VQ_OP(ScaleMany) {
  const float factor = args.real();
  for (int64_t i = args.integer(); i > 0; --i) {
    const int64_t n = args.integer();
    const float* x = args.tensor<float>(n);
    float* out = args.tensor<float>(n);
    parallel_for(n, 1 << 15, args.ctx.threads, [&](int64_t b, int64_t e) {
      HWY_DYNAMIC_DISPATCH(scale_by)(x + b, factor, out + b, e - b);
    });
  }
}

}  // namespace vq
#endif  // HWY_ONCE
