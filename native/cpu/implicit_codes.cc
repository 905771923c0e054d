// Nearest of codewords that differ from row to row: each is made, scored and forgotten, so that rows x codes never lie in
// memory at once.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"
#include "vq/op.h"
#include "vq/quantize.h"

namespace vq {
namespace {

// Pairs of a row and a code that one thread works on together: about 256 KB, and whole tiles of the products.
int64_t pairs_at_once(const ImplicitCodebook& c) {
  constexpr int64_t kTile = 12, kMost = 96, kFloats = int64_t{1} << 16;
  return std::clamp(kFloats / (2 * c.dim + c.hidden) / kTile * kTile, kTile, kMost);
}

class Chunk {
 public:
  Chunk(const ImplicitCodebook& c, const QuantKernels& kernels, int64_t pairs)
      : c_(c), q_(kernels), words_(pairs * c.dim), change_(pairs * c.dim), hidden_(pairs * c.hidden), norms_(pairs),
        scores_(pairs), word_rows_(pairs), x_rows_(pairs) {}

  // Scores of `count` pairs from pair `first` of rows x codes on.
  const float* score(const float* x, const float* shift, int64_t first, int64_t count) {
    const int64_t dim = c_.dim;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = (first + i) / c_.k, code = (first + i) % c_.k;
      const float *from = c_.start + code * dim, *by = shift + row * dim;
      float* word = words_.data() + i * dim;
      for (int64_t d = 0; d < dim; ++d) word[d] = from[d] + by[d];
      word_rows_[i] = word;
      x_rows_[i] = x + row * dim;
    }
    for (int64_t l = 0; l < c_.blocks; ++l) {
      const int64_t size = dim * c_.hidden;
      q_.linear(words_.data(), count, dim, c_.up + l * size, c_.hidden, nullptr, hidden_.data());
      // A NaN stays one.
      for (int64_t i = 0; i < count * c_.hidden; ++i) hidden_[i] = hidden_[i] < 0 ? 0.0f : hidden_[i];
      q_.linear(hidden_.data(), count, c_.hidden, c_.down + l * size, dim, nullptr, change_.data());
      for (int64_t i = 0; i < count * dim; ++i) words_[i] += change_[i];
    }
    q_.squared(word_rows_.data(), nullptr, count, dim, norms_.data());
    for (int64_t i = 0; i < count; ++i) norms_[i] *= 0.5f;
    q_.scores(word_rows_.data(), x_rows_.data(), norms_.data(), count, dim, scores_.data(), nullptr);
    return scores_.data();
  }

 private:
  const ImplicitCodebook& c_;
  const QuantKernels& q_;
  Scratch<float> words_, change_, hidden_, norms_, scores_;
  Scratch<const float*> word_rows_, x_rows_;
};

}  // namespace

void ImplicitCodebook::expect_sizes() const {
  for (int64_t size : {k, dim, hidden, blocks})
    if (size < 1 || size > INT32_MAX) fail(Error::kShape, "sizes are out of range");
}

void nearest_implicit(const float* x, const float* shift, int64_t n, const ImplicitCodebook& codebook, int32_t* indices,
                      const CallOptions& options) {
  const QuantKernels& q = quant_kernels();
  const int64_t k = codebook.k, pairs = pairs_at_once(codebook);
  const double products = static_cast<double>(k) * codebook.dim * (1.0 + 2.0 * codebook.blocks * codebook.hidden);
  const int64_t grain = std::max<int64_t>(1, static_cast<int64_t>((1 << 18) / products));
  FirstRow bad;
  parallel_for(n, grain, options.threads, [&](int64_t begin, int64_t end) {
    Chunk chunk(codebook, q, pairs);
    float best = std::numeric_limits<float>::infinity();
    int32_t code = 0;
    for (int64_t first = begin * k; first < end * k; first += pairs) {
      if (options.stop && options.stop->load(std::memory_order_relaxed)) throw Stopped();
      const int64_t count = std::min(pairs, end * k - first);
      const float* scores = chunk.score(x, shift, first, count);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t at = (first + i) % k;
        if (scores[i] < best) best = scores[i], code = static_cast<int32_t>(at);
        if (at + 1 < k) continue;
        const int64_t row = (first + i) / k;
        indices[row] = code;
        if (!std::isfinite(best)) bad.note(row);
        best = std::numeric_limits<float>::infinity();
        code = 0;
      }
    }
  });
  if (bad.any())
    fail(Error::kValue,
         "row " + std::to_string(bad.row()) + " has no nearest code: it " +
             describe_row(x + bad.row() * codebook.dim, codebook.dim, "meets codewords that are not finite, or too large"));
}

// n, k, dim, hidden, blocks; x [n, dim], shift [n, dim], start [k, dim], up [blocks, dim, hidden], down [blocks, hidden,
// dim], indices [n]
VQ_OP(VqNearestImplicitCode) {
  const int64_t n = args.integer();
  ImplicitCodebook c;
  c.k = args.integer(), c.dim = args.integer(), c.hidden = args.integer(), c.blocks = args.integer();
  c.expect_sizes();
  const int64_t rows = Shape{2, {n, c.dim}}.size(), weights = Shape{3, {c.blocks, c.dim, c.hidden}}.size();
  if (n < 0) fail(Error::kShape, "sizes are out of range");
  const float *x = args.tensor<float>(rows), *shift = args.tensor<float>(rows);
  c.start = args.tensor<float>(Shape{2, {c.k, c.dim}}.size());
  c.up = args.tensor<float>(weights);
  c.down = args.tensor<float>(weights);
  nearest_implicit(x, shift, n, c, args.tensor<int32_t>(n), {args.ctx.threads});
}

}  // namespace vq
