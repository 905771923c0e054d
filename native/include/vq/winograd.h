// Convolutions by Winograd's minimal filtering: 3×3 of stride 1 by F(4×4, 3×3), 36 products instead of 144 for 16 outputs;
// 4×4 of stride 2 as four 2×2 of stride 1, by F(4×4, 2×2), 100 instead of 256. Lavin and Gray 2016,
// https://arxiv.org/abs/1509.09308, section 4. The largest rounding errors are about 1e-5 of the result's root mean square,
// some ten times those of a direct sum, as with cuDNN's convolutions.
#pragma once
#include "vq/convolution.h"

namespace vq {

// Whether the shape has enough channels and places for it to pay.
bool winograd_fits(const Convolution&);
void winograd_forward(Context&, const Convolution&, const float* x, const float* w, const float* bias, Activation, float* y);
void winograd_backward_input(Context&, const Convolution&, const float* dy, const float* w, float* dx);
void winograd_backward_filter(Context&, const Convolution&, const float* x, const float* dy, float* dw);

}  // namespace vq
