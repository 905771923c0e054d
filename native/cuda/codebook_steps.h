// What happens around a codebook in training: the gradient past it, codes that begin anew.
#pragma once
#include "cuda/kernels/estimators.h"
#include "cuda/kernels/replace_rows.h"
#include "cuda/machine_arrays.h"

namespace vq::gpu {

// out may be g.
template <class M>
void estimator_gradient(const Run<M>& run, Estimator kind, const float* z, const float* q, const float* g, int64_t n, int64_t dim,
                        float* out) {
  M& m = run.machine;
  if (kind == Estimator::kRotation) m.launch(EstimatorGradient<RotationRow>{z, q, g, n, dim, out});
  else if (kind == Estimator::kProjection) m.launch(EstimatorGradient<ProjectionRow>{z, q, g, n, dim, out});
  else if (out != g && n > 0) m.copy(out, g, static_cast<uint64_t>(n) * dim * sizeof(float));
}

struct CodebookState {
  float *codebook, *counts, *sums;  // sums may be null
};
// Writes nothing where an index is outside.
template <class M>
void replace_rows(const Run<M>& run, const float* x, int64_t n, int64_t dim, int64_t k, const int32_t* codes, const int32_t* rows,
                  int64_t count, float fresh, const CodebookState& to) {
  M& m = run.machine;
  Firsts<M, 2> bad(m);
  m.launch(each_of(count, NoteOutside{codes, k, bad.cell(0)}));
  m.launch(each_of(count, NoteOutside{rows, n, bad.cell(1)}));
  const std::vector<int64_t> first = bad.values();
  for (int i = 0; i < 2; ++i)
    if (first[i] != kNone)
      fail(Error::kValue, std::string(i ? "row " : "code ") + std::to_string(fetch(m, (i ? rows : codes) + first[i], 1)[0]) +
                              " is outside the " + std::to_string(i ? n : k) + (i ? " rows" : " codes"));
  m.launch(each_of(count * dim, ReplaceRows{x, codes, rows, dim, fresh, to.codebook, to.counts, to.sums}));
}

}  // namespace vq::gpu
