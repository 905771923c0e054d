// Layer normalisation for kernels that hold the rows already.
#pragma once
#include <cstdint>

namespace vq {

// y = (x − mean)·inverse·gamma + beta of each row, with gamma and beta null or [columns]. mean, inverse: room for one per row. On the
// calling thread.
void layer_norm_alone(const float* x, const float* gamma, const float* beta, int64_t rows, int64_t columns, double epsilon, float* y,
                      float* mean, float* inverse);

}  // namespace vq
