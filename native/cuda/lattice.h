// Finite scalar and lookup-free quantization on a machine: one launch each, but for cells that must be cleared before.
#pragma once
#include <algorithm>

#include "cuda/kernels/lattice.h"
#include "cuda/kernels/lfq_entropy.h"
#include "cuda/kernels/lfq_entropy_gradient.h"
#include "cuda/machine_arrays.h"

namespace vq::gpu {

template <class M>
void expect_rows(M& machine, const Firsts<M, 1>& bad, const float* z, int64_t dim) {
  const int64_t row = bad.values()[0];
  if (row != kNone) fail_at_row(machine, z, row, dim, " has no code: it ", "");
}
template <class M>
void expect_indices(M& machine, const Firsts<M, 1>& bad, const int32_t* indices, int64_t size) {
  const int64_t row = bad.values()[0];
  if (row != kNone)
    fail(Error::kValue, "index " + std::to_string(fetch(machine, indices + row, 1)[0]) + " of row " + std::to_string(row) +
                            " is outside the " + std::to_string(size) + " codes");
}

inline FsqTable fsq_table(const FsqLevels& levels) {
  FsqTable t{};
  std::copy(levels.columns.begin(), levels.columns.end(), t.columns);
  std::copy(levels.levels.begin(), levels.levels.end(), t.levels);
  std::copy(levels.basis.begin(), levels.basis.end(), t.basis);
  return t;
}

// Each output may be null.
template <class M>
void fsq_encode(const Run<M>& run, const float* z, int64_t n, const FsqLevels& levels, int32_t* indices, float* quantized,
                float* bounded) {
  run.look();
  M& m = run.machine;
  Firsts<M, 1> bad(m);
  m.launch(over_rows(n, levels.dim(), FsqEncode{fsq_table(levels), z, indices, quantized, bounded, bad.cell(0)}));
  expect_rows(m, bad, z, levels.dim());
}
template <class M>
void fsq_gradient(const Run<M>& run, const float* z, const float* g, int64_t n, const FsqLevels& levels, float* out) {
  run.look();
  run.machine.launch(over_rows(n, levels.dim(), FsqGradient{fsq_table(levels), z, g, out}));
}
template <class M>
void fsq_decode(const Run<M>& run, const int32_t* indices, int64_t n, const FsqLevels& levels, float* out) {
  run.look();
  M& m = run.machine;
  Firsts<M, 1> bad(m);
  m.launch(over_rows(n, levels.dim(), FsqDecode{fsq_table(levels), static_cast<int32_t>(levels.size), indices, out, bad.cell(0)}));
  expect_indices(m, bad, indices, levels.size);
}
template <class M>
void lfq_encode(const Run<M>& run, const float* z, int64_t n, int64_t bits, float scale, int32_t* indices, float* quantized) {
  run.look();
  M& m = run.machine;
  Firsts<M, 1> bad(m);
  m.launch(over_rows(n, bits, LfqEncode{z, static_cast<int32_t>(bits), scale, indices, quantized, bad.cell(0)}));
  expect_rows(m, bad, z, bits);
}
template <class M>
void lfq_decode(const Run<M>& run, const int32_t* indices, int64_t n, int64_t bits, float scale, float* out) {
  run.look();
  M& m = run.machine;
  Firsts<M, 1> bad(m);
  m.launch(over_rows(n, bits, LfqDecode{indices, static_cast<int32_t>(bits), scale, out, bad.cell(0)}));
  expect_indices(m, bad, indices, int64_t{1} << bits);
}

// How many parts the rows come in. Every part has a table of its own until all are added up: there are as many as give work
// to a large device, not more than fill 64 MiB, and each has 256 rows or more.
inline int64_t lfq_parts(int64_t n, const LfqGroups& groups) {
  constexpr int64_t kBlocks = 512, kRoom = int64_t{1} << 24;
  const int64_t most = std::min(kRoom / groups.table_size(), kBlocks / groups.all_tiles());
  return std::max<int64_t>(1, std::min(most, ceil_div(n, 256)));
}

// entropy [1], diversity [1], table [groups.table_size()]
template <class M>
void lfq_entropy(const Run<M>& run, const float* z, int64_t n, const LfqGroups& groups, float kappa, float* entropy,
                 float* diversity, float* table) {
  run.look();
  M& m = run.machine;
  const int64_t wanted = lfq_parts(n, groups);
  LfqEntropy kernel{z, n, groups, kappa};
  kernel.part_rows = ceil_div(ceil_div(n, wanted), LfqEntropy::kRows) * LfqEntropy::kRows;
  kernel.parts = ceil_div(n, kernel.part_rows);
  const int64_t tiles = groups.all_tiles();
  Firsts<M, 1> bad(m);
  Array<M, float> partial(m, kernel.parts * groups.table_size());
  Array<M, double> entropies(m, kernel.parts * groups.count()), diversities(m, tiles);
  Array<M, int32_t> done(m, tiles + 1);
  m.launch(each_of(tiles + 1, Fill<int32_t>{0, done.data()}));
  kernel.partial = partial.data(), kernel.entropies = entropies.data(), kernel.diversities = diversities.data();
  kernel.done = done.data(), kernel.bad = bad.cell(0);
  kernel.table = table, kernel.entropy = entropy, kernel.diversity = diversity;
  m.launch(kernel);
  expect_rows(m, bad, z, groups.bits);
}
template <class M>
void lfq_entropy_gradient(const Run<M>& run, const float* z, int64_t n, const LfqGroups& groups, float kappa, float by_entropy,
                          float by_diversity, const float* table, float* out) {
  run.look();
  const float rows = static_cast<float>(n);
  run.machine.launch(LfqEntropyGradient{z, n, groups, kappa, by_entropy / rows, by_diversity / rows, table, out});
}

}  // namespace vq::gpu
