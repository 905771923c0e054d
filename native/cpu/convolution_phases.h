// A dilated convolution as a plain one: places whose rows and columns agree modulo the dilation meet only each other, so each such
// phase of the image is an image of its own, d·d times smaller, and the filter has no gaps in it.
#pragma once
#include "vq/convolution.h"

namespace vq {

// Whether the phases are of one size and Winograd's algorithm pays for them.
bool splits_into_phases(const Convolution&);
// Of all phases, as a batch.
Convolution phases_of(const Convolution&);
// Images of `channels` at each place as phases, and back.
void take_phases(const Convolution&, int64_t channels, const float* x, float* phases, int threads);
void put_phases(const Convolution&, int64_t channels, const float* phases, float* x, int threads);

}  // namespace vq
