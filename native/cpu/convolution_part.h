// oneDNN takes no negative padding, and TensorFlow.js gives some: explicitly, and for 'same' in three dimensions where the
// stride exceeds the filter. Such a convolution reads only a part of its input, which is copied out.
#pragma once
#include "vq/convolution.h"

namespace vq {

bool reads_part(const Convolution&);
// The same convolution over the part that is read; its input may be empty.
Convolution part_of(const Convolution&);
void take_part(const Convolution& whole, const Convolution& part, const float* x, float* out, int threads);
// Writes the part into dx, and zeros around it.
void put_part(const Convolution& whole, const Convolution& part, const float* from, float* dx, int threads);

}  // namespace vq
