// Starting centroids of k-means.
#pragma once
#include "vq/philox.h"
#include "vq/quantize.h"

namespace vq {

// Rows that may be drawn: all, or those of positive weight.
void start_random(const float* x, int64_t n, int64_t dim, int64_t k, const float* weights, Philox& random,
                  float* centroids);
void start_plus_plus(const float* x, int64_t n, int64_t dim, int64_t k, const float* weights, Philox& random,
                     float* centroids, const CallOptions& call);

}  // namespace vq
