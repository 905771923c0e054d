// Greedy residual encoding on a machine: blocks of rows, all levels of each.
#pragma once
#include <memory>

#include "cuda/kernels/residual.h"
#include "cuda/nearest.h"

namespace vq::gpu {

template <class M>
void residual_encode(const Run<M>& run, const float* x, int64_t n, int64_t dim, const std::vector<const float*>& codebooks,
                     const std::vector<int64_t>& sizes, int32_t* codes, float* quantized, float* errors,
                     float* level_errors) {
  M& m = run.machine;
  const int64_t levels = static_cast<int64_t>(codebooks.size());
  std::vector<std::unique_ptr<ReadyCodes<M>>> ready;
  for (int64_t level = 0; level < levels; ++level) {
    if (sizes[level] > INT32_MAX) fail(Error::kShape, "a codebook has more than 2^31 - 1 codes");
    ready.push_back(std::make_unique<ReadyCodes<M>>(m, sizes[level], dim, Kind::kL2));
    ready[level]->set(codebooks[level], ("codebook " + std::to_string(level)).c_str());
  }
  if (n <= 0) return;
  constexpr int64_t kRoom = int64_t{1} << 28;  // bytes of residuals at a time
  int64_t most = std::min(n, std::max<int64_t>(64, kRoom / (4 * dim)));
  for (const auto& r : ready) most = std::min(most, r->rows_per_launch());
  Array<M, float> residual(m, most * dim);
  Firsts<M, 1> bad(m);
  for (int64_t begin = 0; begin < n; begin += most) {
    run.look();
    const int64_t count = std::min(most, n - begin);
    const float* from = x + begin * dim;
    for (int64_t level = 0; level < levels; ++level) {
      int32_t* chosen = codes + begin * levels + level;
      ready[level]->assign(from, count, nullptr, chosen, levels, nullptr, bad.cell(0));
      m.launch(each_of(count * dim, LevelResidual{from, codebooks[level], chosen, dim, levels, residual.data()}));
      if (quantized)
        m.launch(each_of(count * dim,
                         AddLevel{codebooks[level], chosen, dim, levels, level == 0, quantized + begin * dim}));
      from = residual.data();
      const auto norms = [&](float* to, int64_t stride) {
        m.launch(RowNorms{from, count, dim, RowNorms::kSquared, RowNorms::kNever, to, stride, nullptr});
      };
      if (level_errors) norms(level_errors + begin * levels + level, levels);
      if (errors && level + 1 == levels) norms(errors + begin, 1);
    }
    const int64_t row = bad.values()[0];
    if (row != kNone) fail_without_code(m, x, begin + row, dim);
  }
}

}  // namespace vq::gpu
