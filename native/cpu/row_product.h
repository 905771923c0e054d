// Products of few rows with a matrix, as generation token by token needs them.
#pragma once
#include <cstdint>

namespace vq {

// y[rows, out] = x[rows, in]·w[in, out] + bias (or null), added to y where `add`. Every result is one chain of fused multiply-adds in
// ascending order of the inputs, then the bias: how many rows come together, and how many threads there are, changes no bit.
// With `threads` above 1 columns are shared among them, where there is enough to do.
void row_product(const float* x, int64_t rows, int64_t in, const float* w, int64_t out, const float* bias, bool add, float* y,
                 int threads);

}  // namespace vq
