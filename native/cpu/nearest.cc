// Nearest code: rows in blocks that stay in the cache, panels of the packed codebook streamed over each block.
#include <algorithm>
#include <cmath>
#include <string>

#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"
#include "vq/quantize.h"

namespace vq {

void PackedCodebook::pack(const float* codes, int64_t k, int64_t dim, Metric metric, int threads, const char* what,
                          const QuantKernels* kernels) {
  if (k < 1 || dim < 1) fail(Error::kShape, std::string(what) + " is empty");
  if (k > INT32_MAX) fail(Error::kShape, std::string(what) + " has more than 2^31 - 1 codes");
  const QuantKernels& q = kernels ? *kernels : quant_kernels();
  const int64_t panels = (k + q.panel - 1) / q.panel;
  if (kernels_ != &q || k_ != k || dim_ != dim) {
    data_.reset(static_cast<size_t>(panels * q.panel) * dim);
    bias_.reset(static_cast<size_t>(panels * q.panel));
  }
  kernels_ = &q, k_ = k, dim_ = dim, panels_ = panels, metric_ = metric;

  FirstRow bad;
  const int64_t grain = std::max<int64_t>(1, (1 << 17) / (dim * q.panel));
  parallel_for(panels, grain, threads, [&](int64_t begin, int64_t end) {
    Scratch<float> unit(metric == Metric::kCosine ? q.panel * dim : 0);
    Scratch<float> norms(q.panel);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * q.panel, count = std::min<int64_t>(q.panel, k - first);
      const float* from = codes + first * dim;
      if (metric == Metric::kCosine) {
        normalise(q, from, count, dim, unit.data(), norms.data());
        for (int64_t i = 0; i < count; ++i)
          if (!std::isfinite(norms[i])) bad.note(first + i);
        from = unit.data();
      }
      q.pack(from, count, dim, 0, true, data_.data() + first * dim, bias_.data() + first);
      for (int64_t i = 0; i < count; ++i) {
        if (std::isfinite(bias_[first + i])) continue;
        // The norm of a large finite code may overflow: its score is +inf then, and it never wins.
        for (int64_t d = 0; d < dim; ++d)
          if (!std::isfinite(from[i * dim + d])) bad.note(first + i);
      }
      if (metric != Metric::kL2) std::fill_n(bias_.data() + first, count, 0.0f);
    }
  });
  if (bad.any())
    fail(Error::kValue, std::string(what) + ": code " + std::to_string(bad.row()) + " " +
                            describe_row(codes + bad.row() * dim, dim, "its norm overflows float32"));
}

void nearest(const float* x, int64_t n, const PackedCodebook& codebook, int32_t* indices, float* distances,
             const CallOptions& options) {
  if (n <= 0) return;
  const QuantKernels& q = codebook.kernels();
  const int64_t dim = codebook.dim();
  const bool cosine = codebook.metric() == Metric::kCosine;
  FirstRow bad;
  for_row_blocks(n, dim, codebook.size(), q, options, [&](RowBlocks& blocks) {
    const int64_t most = blocks.rows();
    Scratch<float> best(most * q.state), partial(most * q.panel), scores(most), norms(most);
    Scratch<float> unit(cosine ? most * dim : 0);
    Scratch<int32_t> arg(most * q.state);
    Scratch<const float*> rows(most);
    for (int64_t begin, count; blocks.next(begin, count);) {
      const float* from = x + begin * dim;
      if (cosine) {
        normalise(q, from, count, dim, unit.data(), norms.data());
        from = unit.data();
      }
      q.assign(from, count, dim, codebook.data(), codebook.bias(), codebook.panels(), best.data(), arg.data(),
               partial.data(), indices + begin, scores.data());
      if (distances && codebook.metric() == Metric::kL2) {
        for (int64_t i = 0; i < count; ++i) rows[i] = from + i * dim;
        q.squared(rows.data(), nullptr, count, dim, norms.data());
      }
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
  packed.pack(codes, k, dim, metric, options.threads);
  nearest(x, n, packed, indices, distances, options);
}

}  // namespace vq
