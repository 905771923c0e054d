#include "cpu/row_blocks.h"

namespace vq {

void normalise(const QuantKernels& q, const float* x, int64_t n, int64_t dim, float* out, float* norms) {
  constexpr int kChunk = 64;
  const float* rows[kChunk];
  for (int64_t at = 0; at < n; at += kChunk) {
    const int64_t count = std::min<int64_t>(kChunk, n - at);
    for (int64_t i = 0; i < count; ++i) rows[i] = x + (at + i) * dim;
    q.squared(rows, nullptr, count, dim, norms + at);
    for (int64_t i = at; i < at + count; ++i) {
      norms[i] = std::sqrt(norms[i]);
      const float norm = norms[i];
      for (int64_t d = 0; d < dim; ++d) out[i * dim + d] = norm == 0 ? 0.0f : x[i * dim + d] / norm;
    }
  }
}

void divide_panel(float* panel, int width, const float* norms, int64_t held, int64_t dim) {
  for (int64_t d = 0; d < dim; ++d, panel += width)
    for (int64_t i = 0; i < held; ++i) panel[i] = norms[i] == 0 ? 0.0f : panel[i] / norms[i];
}

}  // namespace vq
