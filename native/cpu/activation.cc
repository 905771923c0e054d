// Activations and their gradients, and the bias that comes before them in a linear layer.
// GELU: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, x·Φ(x) and its tanh form in section 2.
#include <algorithm>
#include <cmath>

#include "cpu/activation.h"
#include "vq/op.h"
#include "vq/stream.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/activation.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

constexpr float kRootTwoOverPi = 0.7978845608f, kCube = 0.044715f;

// value(x), and gradient(dy, z) with z the input where `from_input`, else the output.
struct Linear {
  static HWY_INLINE VF value(VF x) { return x; }
  static HWY_INLINE VF gradient(VF dy, VF) { return dy; }
};
struct Relu {
  static HWY_INLINE VF value(VF x) { return hn::IfThenElse(hn::Lt(x, zero()), zero(), x); }
  static HWY_INLINE VF gradient(VF dy, VF y) { return hn::IfThenElseZero(hn::Gt(y, zero()), dy); }
};
struct Gelu {
  static HWY_INLINE VF bell(VF x) { return exp_negative(hn::Mul(set(-0.5f), hn::Mul(x, x))); }
  // −∞ · 0 would be NaN.
  static HWY_INLINE VF value(VF x) { return hn::Mul(hn::Max(set(-3.0e38f), x), normal_cdf(x, bell(x))); }
  static HWY_INLINE VF gradient(VF dy, VF x) {
    const VF b = bell(x), bounded = hn::Min(set(3.0e38f), hn::Max(set(-3.0e38f), x));
    return hn::Mul(dy, hn::MulAdd(bounded, hn::Mul(set(0.3989422804f), b), normal_cdf(x, b)));
  }
};
struct GeluTanh {
  static HWY_INLINE VF inner(VF x) {
    const VF x2 = hn::Mul(x, x);
    return hn::Mul(hn::Mul(set(kRootTwoOverPi), x), hn::MulAdd(set(kCube), x2, set(1.0f)));
  }
  // ½(1 + tanh u) is the logistic function of 2u, which does not cancel on the left.
  static HWY_INLINE VF share(VF x) {
    const VF u = inner(x);
    return sigmoid(hn::Add(u, u));
  }
  static HWY_INLINE VF value(VF x) { return hn::Mul(hn::Max(set(-3.0e38f), x), share(x)); }
  static HWY_INLINE VF gradient(VF dy, VF x) {
    const VF bounded = hn::Min(hn::Max(x, set(-1.0e12f)), set(1.0e12f));
    const VF s = share(bounded), x2 = hn::Mul(bounded, bounded);
    const VF slope = hn::Mul(set(2 * kRootTwoOverPi), hn::MulAdd(set(3 * kCube), x2, set(1.0f)));
    const VF bend = hn::Mul(hn::Mul(s, hn::Sub(set(1.0f), s)), hn::Mul(bounded, slope));
    return hn::Mul(dy, hn::IfThenElse(hn::IsNaN(x), x, hn::Add(s, bend)));
  }
};
struct Silu {
  static HWY_INLINE VF value(VF x) { return hn::Mul(hn::Max(set(-3.0e38f), x), sigmoid(x)); }
  static HWY_INLINE VF gradient(VF dy, VF x) {
    const VF s = sigmoid(x), bounded = hn::Min(set(3.0e38f), hn::Max(set(-3.0e38f), x));
    return hn::Mul(dy, hn::MulAdd(hn::Mul(s, hn::Sub(set(1.0f), s)), bounded, s));
  }
};
struct Tanh {
  static HWY_INLINE VF value(VF x) { return tanh(x); }
  static HWY_INLINE VF gradient(VF dy, VF y) { return hn::Mul(dy, hn::NegMulAdd(y, y, set(1.0f))); }
};
struct Sigmoid {
  static HWY_INLINE VF value(VF x) { return sigmoid(x); }
  static HWY_INLINE VF gradient(VF dy, VF y) { return hn::Mul(dy, hn::Mul(y, hn::Sub(set(1.0f), y))); }
};

template <class Body>
void choose(ActivationKind kind, const Body& body) {
  switch (kind) {
    case ActivationKind::kLinear: return body(Linear());
    case ActivationKind::kRelu: return body(Relu());
    case ActivationKind::kGelu: return body(Gelu());
    case ActivationKind::kGeluTanh: return body(GeluTanh());
    case ActivationKind::kSilu: return body(Silu());
    case ActivationKind::kTanh: return body(Tanh());
    case ActivationKind::kSigmoid: return body(Sigmoid());
  }
}

}  // namespace

void activate(ActivationKind kind, const float* x, int64_t n, bool stream, float* y) {
  choose(kind, [&](auto a) {
    using A = decltype(a);
    const auto f = [](VF v) HWY_ATTR { return A::value(v); };
    if (stream && aligned(y)) map<true>(x, y, n, f);
    else map<false>(x, y, n, f);
  });
}

void activation_gradient(ActivationKind kind, const float* z, const float* dy, int64_t n, bool stream, float* dx) {
  choose(kind, [&](auto a) {
    using A = decltype(a);
    const auto f = [](VF v, VF d) HWY_ATTR { return A::gradient(d, v); };
    if (stream && aligned(dx)) map<true>(z, dy, dx, n, f);
    else map<false>(z, dy, dx, n, f);
  });
}

// z += bias in place, y = activation of it; y may be z.
void bias_and_activate(ActivationKind kind, const float* bias, int64_t rows, int64_t c, float* z, float* y) {
  const int64_t step = lanes();
  choose(kind, [&](auto a) {
    using A = decltype(a);
    for (int64_t r = 0; r < rows; ++r, z += c, y += c) {
      int64_t i = 0;
      for (; i + step <= c; i += step) {
        VF v = load(z + i);
        if (bias) v = hn::Add(v, load(bias + i));
        if (y != z) store(v, z + i);
        store(A::value(v), y + i);
      }
      if (i < c) {
        VF v = load_part(z + i, c - i);
        if (bias) v = hn::Add(v, load_part(bias + i, c - i));
        if (y != z) store_part(v, z + i, c - i);
        store_part(A::value(v), y + i, c - i);
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(activate);
HWY_EXPORT(activation_gradient);
HWY_EXPORT(bias_and_activate);
namespace {

constexpr int64_t kBlock = 4096;  // whole vectors, so that blocks stay aligned

ActivationKind kind_of(int64_t code) {
  if (code < 0 || code > static_cast<int64_t>(ActivationKind::kSigmoid)) fail(Error::kValue, "no such activation");
  return static_cast<ActivationKind>(code);
}
template <class Body>
void over_blocks(Context& c, int64_t n, const Body& body) {
  parallel_for((n + kBlock - 1) / kBlock, 4, c.threads, [&](int64_t b, int64_t e) {
    body(b * kBlock, std::min(n, e * kBlock));
  });
}

}  // namespace

void apply_bias_and_activation(ActivationKind kind, const float* bias, int64_t rows, int64_t c, float* z, float* y) {
  HWY_DYNAMIC_DISPATCH(bias_and_activate)(kind, bias, rows, c, z, y);
}
void apply_activation_gradient(ActivationKind kind, const float* z, const float* dy, int64_t n, float* dx) {
  HWY_DYNAMIC_DISPATCH(activation_gradient)(kind, z, dy, n, false, dx);
}

// Arguments: activation, count, x, y.
VQ_OP(Activation) {
  const ActivationKind kind = kind_of(args.integer());
  const int64_t n = args.integer();
  const float* x = args.tensor<float>(n);
  float* y = args.tensor<float>(n);
  const bool stream = worth_streaming(n);
  over_blocks(args.ctx, n, [&](int64_t b, int64_t e) { HWY_DYNAMIC_DISPATCH(activate)(kind, x + b, e - b, stream, y + b); });
}

// Arguments: activation, count, its input (gelu, gelu_tanh, silu) or output (the others), dy, dx.
VQ_OP(ActivationGrad) {
  const ActivationKind kind = kind_of(args.integer());
  const int64_t n = args.integer();
  const float *z = args.tensor<float>(n), *dy = args.tensor<float>(n);
  float* dx = args.tensor<float>(n);
  const bool stream = worth_streaming(n);
  over_blocks(args.ctx, n, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(activation_gradient)(kind, z + b, dy + b, e - b, stream, dx + b);
  });
}

}  // namespace vq
#endif  // HWY_ONCE
