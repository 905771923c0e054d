#pragma once
#include "vq/convolution.h"

namespace vq {

// dw = the gradient by the filter: for each tap, xᵀ·dy over the places where the tap meets the image. Our own kernel: on
// Zen 5 it runs at 75% of the FMA limit where oneDNN 2.6's runs at 57–70%. Fits channel counts that fill vectors.
bool filter_gradient_fits(const Convolution&);
void filter_gradient(const Convolution&, const float* x, const float* dy, float* dw, int threads);

}  // namespace vq
