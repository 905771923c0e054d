#include <algorithm>
#include <cmath>
#include <string>

#include "cpu/code_filter.h"
#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"
#include "vq/quantize.h"

namespace vq {

PackedCodebook::PackedCodebook() = default;
PackedCodebook::PackedCodebook(PackedCodebook&&) noexcept = default;
PackedCodebook& PackedCodebook::operator=(PackedCodebook&&) noexcept = default;
PackedCodebook::~PackedCodebook() = default;

int64_t PackedCodebook::bytes() const {
  return static_cast<int64_t>(data_.bytes() + bias_.bytes()) + (filter_ ? filter_->bytes() : 0);
}

void PackedCodebook::fail_at(int64_t code, const char* what) const {
  fail(Error::kValue, std::string(what) + ": code " + std::to_string(code) + " " +
                          describe_row(codes_ + code * dim_, dim_, "its norm overflows float32"));
}

void PackedCodebook::pack(const float* codes, int64_t k, int64_t dim, Metric metric, int threads, const char* what,
                          const QuantKernels* kernels, Use use) {
  if (k < 1 || dim < 1) fail(Error::kShape, std::string(what) + " is empty");
  if (k > INT32_MAX) fail(Error::kShape, std::string(what) + " has more than 2^31 - 1 codes");
  const QuantKernels& q = kernels ? *kernels : quant_kernels();
  const int64_t panels = (k + q.panel - 1) / q.panel;
  const bool filtered = use == kFilter && CodeFilter::suits(q, k, dim);
  if (!filtered) filter_.reset();
  if (!filtered && (kernels_ != &q || k_ != k || dim_ != dim || data_.size() == 0)) {
    data_.reset(static_cast<size_t>(panels * q.panel) * dim);
    bias_.reset(static_cast<size_t>(panels * q.panel));
  }
  kernels_ = &q, codes_ = codes, k_ = k, dim_ = dim, panels_ = panels, metric_ = metric;

  FirstRow bad;
  if (filtered) {
    data_ = {}, bias_ = {};
    if (!filter_) filter_ = std::make_unique<CodeFilter>();
    filter_->pack(codes, k, dim, metric, threads, q, bad);
    if (bad.any()) fail_at(bad.row(), what);
    return;
  }
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
        // The norm of a large finite code may overflow: its score is +inf then, and it never wins.
        if (!std::isfinite(bias_[first + i]) && !finite(from + i * dim, dim)) bad.note(first + i);
      }
      if (metric != Metric::kL2) std::fill_n(bias_.data() + first, count, 0.0f);
    }
  });
  if (bad.any()) fail_at(bad.row(), what);
}

struct PackedCodebook::Space::Arrays {
  Scratch<float> best, partial;
  Scratch<int32_t> arg;
  Scratch<const float*> rows;
  std::unique_ptr<CodeFilter::Space> filter;
};

PackedCodebook::Space::Space(const PackedCodebook& codebook, int64_t rows) : arrays_(std::make_unique<Arrays>()) {
  const QuantKernels& q = codebook.kernels();
  if (codebook.filter_) {
    arrays_->filter = std::make_unique<CodeFilter::Space>(*codebook.filter_, rows);
    return;
  }
  arrays_->best.reset(rows * q.state);
  arrays_->partial.reset(rows * q.panel);
  arrays_->arg.reset(rows * q.state);
  arrays_->rows.reset(rows);
}
PackedCodebook::Space::~Space() = default;

void PackedCodebook::assign(const float* x, int64_t count, Space& space, int32_t* codes, float* scores, float* norms,
                            bool exact) const {
  Space::Arrays& a = *space.arrays_;
  if (filter_) return filter_->assign(x, count, *a.filter, codes, scores, norms, exact);
  kernels_->assign(x, count, dim_, data(), bias(), panels_, a.best.data(), a.arg.data(), a.partial.data(), codes, scores);
  if (!norms) return;
  for (int64_t i = 0; i < count; ++i) a.rows[i] = x + i * dim_;
  kernels_->squared(a.rows.data(), nullptr, count, dim_, norms);
}

}  // namespace vq
