// Residual encoding: greedy, and beam search over the levels.
#include <algorithm>
#include <cmath>
#include <string>

#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"
#include "vq/quantize.h"

namespace vq {
namespace {

struct Job {
  const float* x;
  int64_t dim;
  int64_t levels;
  int beam;
  const std::vector<const float*>& codebooks;
  const std::vector<PackedCodebook>& packed;
  int32_t* codes;
  float* quantized;
  float* errors;
  float* level_errors;
};

// quantized row = the chosen codes added in level order.
void add_codes(const Job& job, int64_t row) {
  if (!job.quantized) return;
  float* out = job.quantized + row * job.dim;
  for (int64_t level = 0; level < job.levels; ++level) {
    const float* e = job.codebooks[level] + job.codes[row * job.levels + level] * job.dim;
    for (int64_t d = 0; d < job.dim; ++d) out[d] = level == 0 ? e[d] : out[d] + e[d];
  }
}

// What each level of the chosen codes leaves of `count` rows.
void add_level_errors(const Job& job, const QuantKernels& q, int64_t begin, int64_t count) {
  if (!job.level_errors) return;
  const int64_t dim = job.dim, levels = job.levels;
  Scratch<float> residual(count * dim), norms(count);
  Scratch<const float*> rows(count);
  std::copy_n(job.x + begin * dim, count * dim, residual.data());
  for (int64_t i = 0; i < count; ++i) rows[i] = residual.data() + i * dim;
  for (int64_t level = 0; level < levels; ++level) {
    for (int64_t i = 0; i < count; ++i) {
      const float* e = job.codebooks[level] + job.codes[(begin + i) * levels + level] * dim;
      float* r = residual.data() + i * dim;
      for (int64_t d = 0; d < dim; ++d) r[d] -= e[d];
    }
    q.squared(rows.data(), nullptr, count, dim, norms.data());
    for (int64_t i = 0; i < count; ++i) job.level_errors[(begin + i) * levels + level] = norms[i];
  }
}

void greedy(const Job& job, const QuantKernels& q, RowBlocks& blocks, FirstRow& bad) {
  const int64_t most = blocks.rows(), dim = job.dim;
  Scratch<float> residual(most * dim), scores(most);
  Scratch<int32_t> found(most);
  Scratch<const float*> rows(most);
  std::vector<std::unique_ptr<PackedCodebook::Space>> space;
  for (const PackedCodebook& book : job.packed) space.push_back(std::make_unique<PackedCodebook::Space>(book, most, blocks.room() / job.levels));
  for (int64_t begin, count; blocks.next(begin, count);) {
    const float* from = job.x + begin * dim;
    for (int64_t level = 0; level < job.levels; ++level) {
      const PackedCodebook& book = job.packed[level];
      book.assign(from, count, *space[level], found.data(), scores.data(), nullptr, false);
      for (int64_t i = 0; i < count; ++i) {
        if (!std::isfinite(scores[i])) bad.note(begin + i);
        const float* e = job.codebooks[level] + found[i] * dim;
        float* r = residual.data() + i * dim;
        const float* f = from + i * dim;
        for (int64_t d = 0; d < dim; ++d) r[d] = f[d] - e[d];
        job.codes[(begin + i) * job.levels + level] = found[i];
      }
      from = residual.data();
    }
    if (job.errors) {
      for (int64_t i = 0; i < count; ++i) rows[i] = residual.data() + i * dim;
      q.squared(rows.data(), nullptr, count, dim, job.errors + begin);
    }
    for (int64_t i = 0; i < count; ++i) add_codes(job, begin + i);
    add_level_errors(job, q, begin, count);
  }
}

// One way to extend a path: which parent, which code, and the squared norm of what would be left.
struct Proposal {
  float error;
  int32_t code, parent;
  bool operator<(const Proposal& o) const {
    if (error != o.error) return error < o.error;
    return code != o.code ? code < o.code : parent < o.parent;
  }
};

void beam_search(const Job& job, const QuantKernels& q, RowBlocks& blocks, FirstRow& bad) {
  const int64_t most = blocks.rows(), dim = job.dim, levels = job.levels, beam = job.beam;
  const int64_t paths = most * beam;
  Scratch<float> now(paths * dim), then(paths * dim), scores(paths * beam), errors(beam * beam), path_error(paths);
  Scratch<int32_t> found(paths * beam), found_count(paths), history(paths * levels), grown(paths * levels);
  Scratch<int32_t> alive(most), grown_alive(most);
  Scratch<const float*> left(beam * beam), right(beam * beam);
  std::vector<Proposal> proposals;
  for (int64_t begin, count; blocks.next(begin, count);) {
    std::copy_n(job.x + begin * dim, count * dim, now.data());
    std::fill_n(alive.data(), count, 1);
    for (int64_t level = 0; level < levels; ++level) {
      const PackedCodebook& book = job.packed[level];
      const float* codes = job.codebooks[level];
      int64_t rows = 0;  // paths lie behind one another, row by row
      for (int64_t i = 0; i < count; ++i) rows += alive[i];
      const int keep = static_cast<int>(std::min<int64_t>(beam, book.size()));
      q.top(now.data(), rows, dim, book.data(), book.bias(), book.panels(), keep, scores.data(), found.data(),
            found_count.data());
      int64_t path = 0, next = 0;
      for (int64_t i = 0; i < count; ++i) {
        proposals.clear();
        for (int32_t p = 0; p < alive[i]; ++p)
          for (int32_t j = 0; j < found_count[path + p]; ++j) {
            if (!std::isfinite(scores[(path + p) * keep + j])) bad.note(begin + i);
            const int32_t code = found[(path + p) * keep + j];
            left[proposals.size()] = now.data() + (path + p) * dim;
            right[proposals.size()] = codes + code * dim;
            proposals.push_back({0, code, p});
          }
        if (proposals.empty()) {  // carried on with code 0, so that a lower bad row can still be found
          bad.note(begin + i);
          left[0] = now.data() + path * dim;
          right[0] = codes;
          proposals.push_back({0, 0, 0});
        }
        const int64_t size = static_cast<int64_t>(proposals.size());
        q.squared(left.data(), right.data(), size, dim, errors.data());
        for (int64_t c = 0; c < size; ++c) proposals[c].error = std::isnan(errors[c]) ? INFINITY : errors[c];
        const int64_t kept = std::min<int64_t>(beam, size);
        std::partial_sort(proposals.begin(), proposals.begin() + kept, proposals.end());
        if (!std::isfinite(proposals[0].error)) bad.note(begin + i);  // nothing left to rank by
        for (int64_t c = 0; c < kept; ++c, ++next) {
          const Proposal& chosen = proposals[c];
          const int64_t parent = path + chosen.parent;
          const float *r = now.data() + parent * dim, *e = codes + chosen.code * dim;
          float* out = then.data() + next * dim;
          for (int64_t d = 0; d < dim; ++d) out[d] = r[d] - e[d];
          std::copy_n(history.data() + parent * levels, level, grown.data() + next * levels);
          grown[next * levels + level] = chosen.code;
          path_error[next] = chosen.error;
        }
        path += alive[i];
        grown_alive[i] = static_cast<int32_t>(kept);
      }
      std::swap(now, then);
      std::swap(history, grown);
      std::swap(alive, grown_alive);
    }
    for (int64_t i = 0, path = 0; i < count; path += alive[i], ++i) {
      std::copy_n(history.data() + path * levels, levels, job.codes + (begin + i) * levels);
      if (job.errors) job.errors[begin + i] = path_error[path];
      add_codes(job, begin + i);
    }
    add_level_errors(job, q, begin, count);
  }
}

}  // namespace

void residual_encode(const float* x, int64_t n, int64_t dim, const std::vector<const float*>& codebooks,
                     const std::vector<int64_t>& sizes, int beam, int32_t* codes, float* quantized, float* errors,
                     float* level_errors, const CallOptions& options) {
  const int64_t levels = static_cast<int64_t>(codebooks.size());
  if (levels < 1 || sizes.size() != codebooks.size()) fail(Error::kShape, "residual encoding needs a codebook");
  if (beam < 1 || beam > 1024) fail(Error::kConfig, "beam must be from 1 to 1024");
  const QuantKernels& q = quant_kernels();
  std::vector<PackedCodebook> packed(levels);
  for (int64_t level = 0; level < levels; ++level)
    packed[level].pack(codebooks[level], sizes[level], dim, Metric::kL2, options.threads,
                       ("codebook " + std::to_string(level)).c_str(), &q,
                       beam == 1 ? PackedCodebook::use_for(n) : PackedCodebook::kPanels);
  if (n <= 0) return;
  const Job job{x, dim, levels, beam, codebooks, packed, codes, quantized, errors, level_errors};
  FirstRow bad;
  const int64_t extra = beam == 1 ? (level_errors ? 8 : 4) * dim : beam * (8 * dim + 8 * beam + 8 * levels);
  int64_t met = 0;
  for (int64_t size : sizes) met += size * beam;
  for_row_blocks(
      n, dim, met, q, options, true,
      [&](RowBlocks& blocks) { beam == 1 ? greedy(job, q, blocks, bad) : beam_search(job, q, blocks, bad); }, extra);
  if (bad.any())
    fail(Error::kValue, "row " + std::to_string(bad.row()) + " has no nearest code: it " +
                            describe_row(x + bad.row() * dim, dim, "is so large that its scores overflow float32"));
}

}  // namespace vq
