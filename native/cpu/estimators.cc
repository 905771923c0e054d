// The gradient past a quantizer on the CPU: vq/estimators.h on the lanes of whatever vectors there are.
#include "vq/estimators.h"

#include <algorithm>

#include "vq/error.h"
#include "vq/quantize.h"
#include "vq/threads.h"

namespace vq {
namespace {

using gpu::kEstimatorLanes;
using gpu::kEstimatorSums;

template <class Step>
void add_row(const float* z, const float* q, const float* g, int64_t dim, float (&sums)[kEstimatorSums], const Step& step) {
  float lanes[kEstimatorSums][kEstimatorLanes] = {};
  int64_t d = 0;
  for (; d + kEstimatorLanes <= dim; d += kEstimatorLanes)
    for (int l = 0; l < kEstimatorLanes; ++l) step(lanes[0][l], lanes[1][l], lanes[2][l], z[d + l], q[d + l], g[d + l]);
  for (int l = 0; d + l < dim; ++l) step(lanes[0][l], lanes[1][l], lanes[2][l], z[d + l], q[d + l], g[d + l]);
  for (int i = 0; i < kEstimatorSums; ++i) sums[i] = gpu::lanes_joined(lanes[i]);
}

template <class Row>
void rows_of(const float* z, const float* q, const float* g, int64_t n, int64_t dim, float* out, int threads) {
  parallel_for(n, std::max<int64_t>(1, (1 << 15) / dim), threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first * dim; i < last * dim; i += dim) {
      Row row;
      float sums[kEstimatorSums];
      add_row(z + i, q + i, g + i, dim, sums, [&](auto&... v) { row.first(v...); });
      row.between(sums);
      if (Row::kTwice) {
        add_row(z + i, q + i, g + i, dim, sums, [&](auto&... v) { row.second(v...); });
        row.finish(sums);
      }
      for (int64_t d = 0; d < dim; ++d) out[i + d] = row.gradient(z[i + d], q[i + d], g[i + d]);
    }
  });
}

}  // namespace

void estimator_gradient(gpu::Estimator kind, const float* z, const float* q, const float* g, int64_t n, int64_t dim, float* out,
                        const CallOptions& options) {
  switch (kind) {
    case gpu::Estimator::kRotation: return rows_of<gpu::RotationRow>(z, q, g, n, dim, out, options.threads);
    case gpu::Estimator::kProjection: return rows_of<gpu::ProjectionRow>(z, q, g, n, dim, out, options.threads);
    case gpu::Estimator::kStraightThrough:
      if (out != g) std::copy_n(g, n * dim, out);
      return;
  }
  fail(Error::kConfig, "estimator is out of range");
}

}  // namespace vq
