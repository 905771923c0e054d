// Sums per code and the exponential moving average of a codebook.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "cpu/code_rows.h"
#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"
#include "vq/quantize.h"

namespace vq {

void CodeRows::sort(const int32_t* indices, int64_t n, int64_t k) {
  if (n > INT32_MAX) fail(Error::kShape, "more than 2^31 - 1 rows");
  if (k_ != k || static_cast<int64_t>(codes_.size()) != n) {
    start_.reset(static_cast<size_t>(k) + 2);
    rows_.reset(static_cast<size_t>(n));
    codes_.reset(static_cast<size_t>(n));
    k_ = k;
  }
  std::fill_n(start_.data(), k + 2, 0);
  for (int64_t i = 0; i < n; ++i) {
    const int32_t c = indices[i];
    if (c < -1 || c >= k)
      fail(Error::kValue, "index " + std::to_string(c) + " of row " + std::to_string(i) + " is outside the codebook of " +
                              std::to_string(k) + " codes");
    codes_[i] = c;
    if (c >= 0) ++start_[c + 2];
  }
  // start_[c + 1] is where code c's next row goes; once every row is placed it is where code c + 1 begins.
  for (int64_t c = 0; c < k; ++c) start_[c + 2] += start_[c + 1];
  for (int64_t i = 0; i < n; ++i)
    if (codes_[i] >= 0) rows_[start_[codes_[i] + 1]++] = static_cast<int32_t>(i);
}

int64_t CodeRows::split(int part, int parts) const {
  if (part <= 0) return 0;
  if (part >= parts) return k_;
  const int64_t at = start_[k_] * part / parts;
  return std::lower_bound(start_.data(), start_.data() + k_, at) - start_.data();
}

namespace {

int useful_threads(int64_t work, int threads) {
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, work >> 17)));
}

}  // namespace

void code_sums(const float* x, const int32_t* indices, int64_t n, int64_t dim, int64_t k, float* counts, float* sums,
               const CallOptions& options) {
  const QuantKernels& q = quant_kernels();
  CodeRows order;
  order.sort(indices, n, k);
  const int parts = useful_threads(n * dim + k * dim, options.threads);
  parallel_for(parts, 1, parts, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part)
      for (int64_t c = order.split(part, parts); c < order.split(part + 1, parts); ++c) {
        counts[c] = static_cast<float>(order.count(c));
        std::fill_n(sums + c * dim, dim, 0.0f);
        q.add_rows(x, order.rows(c), order.count(c), dim, sums + c * dim);
      }
  });
}

void ema_update(const float* x, const int32_t* indices, int64_t n, int64_t dim, int64_t k, const float* codebook,
                const float* counts, const float* sums, float* codebook_out, float* counts_out, float* sums_out,
                const EmaOptions& ema, const CallOptions& options) {
  Scratch<float> batch_counts(k), batch_sums(static_cast<size_t>(k) * dim);
  code_sums(x, indices, n, dim, k, batch_counts.data(), batch_sums.data(), options);
  for (int64_t i = 0; i < k * dim; ++i)
    if (!std::isfinite(batch_sums[i])) {
      // Either a row is not finite or the sum overflowed: name the first row that is to blame.
      for (int64_t r = 0; r < n; ++r)
        if (indices[r] >= 0)
          for (int64_t d = 0; d < dim; ++d)
            if (!std::isfinite(x[r * dim + d]))
              fail(Error::kValue, "row " + std::to_string(r) + " " + describe_row(x + r * dim, dim, ""));
      fail(Error::kValue, "the sum of the rows of code " + std::to_string(i / dim) + " overflows float32");
    }
  for (int64_t i = 0; i < k * dim; ++i)
    if (!std::isfinite(sums[i]) || !std::isfinite(counts[i / dim]))
      fail(Error::kValue, "the moving averages of code " + std::to_string(i / dim) + " are not finite");
  const float g = static_cast<float>(ema.decay), h = static_cast<float>(1.0 - ema.decay);
  const float epsilon = static_cast<float>(ema.epsilon);
  float total = 0;
  for (int64_t c = 0; c < k; ++c) {
    counts_out[c] = std::fma(g, counts[c], h * batch_counts[c]);
    total += counts_out[c];
  }
  const float smoothing = total + static_cast<float>(k) * epsilon;
  parallel_for(k, std::max<int64_t>(1, (1 << 17) / dim), options.threads, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const float divisor = (counts_out[c] + epsilon) / smoothing * total;
      for (int64_t i = c * dim; i < (c + 1) * dim; ++i) {
        sums_out[i] = std::fma(g, sums[i], h * batch_sums[i]);
        codebook_out[i] = divisor > 0 ? sums_out[i] / divisor : codebook[i];
      }
    }
  });
}

}  // namespace vq
