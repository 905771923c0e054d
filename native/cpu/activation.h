// Activations that linear layers apply while their rows are in cache.
#pragma once
#include <cstdint>

namespace vq {

// As packages/core numbers them.
enum class ActivationKind { kLinear = 0, kRelu, kGelu, kGeluTanh, kSilu, kTanh, kSigmoid };

// Whether the gradient is taken from the input rather than from the output.
inline bool gradient_needs_input(ActivationKind k) {
  return k == ActivationKind::kGelu || k == ActivationKind::kGeluTanh || k == ActivationKind::kSilu;
}

// z[rows, c] += bias (or null) in place, y = activation(z); y may be z. On the calling thread.
void apply_bias_and_activation(ActivationKind kind, const float* bias, int64_t rows, int64_t c, float* z, float* y);
void apply_activation_gradient(ActivationKind kind, const float* z, const float* dy, int64_t n, float* dx);

}  // namespace vq
