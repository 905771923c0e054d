// Nearest code: rows in blocks that stay in the cache, panels of the packed codebook streamed over each block.
#include <algorithm>
#include <cmath>
#include <string>

#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"
#include "vq/quantize.h"

namespace vq {

void nearest(const float* x, int64_t n, const PackedCodebook& codebook, int32_t* indices, float* distances,
             const CallOptions& options) {
  if (n <= 0) return;
  const QuantKernels& q = codebook.kernels();
  const int64_t dim = codebook.dim();
  const bool cosine = codebook.metric() == Metric::kCosine;
  const bool norms_too = distances && codebook.metric() == Metric::kL2;
  FirstRow bad;
  for_row_blocks(n, dim, codebook.size(), q, options, [&](RowBlocks& blocks) {
    const int64_t most = blocks.rows();
    PackedCodebook::Space space(codebook, most);
    Scratch<float> scores(most), norms(most), unit(cosine ? most * dim : 0);
    for (int64_t begin, count; blocks.next(begin, count);) {
      const float* from = x + begin * dim;
      if (cosine) {
        normalise(q, from, count, dim, unit.data(), norms.data());
        from = unit.data();
      }
      codebook.assign(from, count, space, indices + begin, scores.data(), norms_too ? norms.data() : nullptr,
                      distances != nullptr);
      for (int64_t i = 0; i < count; ++i) {
        const float s = scores[i];
        if (!std::isfinite(s) || (cosine && !std::isfinite(norms[i]))) {
          bad.note(begin + i);
          break;
        }
        if (!distances) continue;
        distances[begin + i] = codebook.metric() == Metric::kL2      ? std::max(0.0f, 2.0f * s + norms[i])
                               : codebook.metric() == Metric::kCosine ? 1.0f + s
                                                                      : 0.0f - s;
      }
    }
  });
  if (bad.any())
    fail(Error::kValue, "row " + std::to_string(bad.row()) + " has no nearest code: it " +
                            describe_row(x + bad.row() * dim, dim, "is so large that its scores overflow float32"));
}

void nearest(const float* x, int64_t n, int64_t dim, const float* codes, int64_t k, Metric metric, int32_t* indices,
             float* distances, const CallOptions& options) {
  PackedCodebook packed;
  packed.pack(codes, k, dim, metric, options.threads, "codebook", nullptr, PackedCodebook::use_for(n));
  nearest(x, n, packed, indices, distances, options);
}

}  // namespace vq
