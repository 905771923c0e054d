// The codebook's moving average on a machine. Rows are sorted by code, stably, so every sum runs in ascending row order. All
// is enqueued before the first answer is awaited; nothing is written before that.
#pragma once
#include "cuda/kernels/code_rows.h"
#include "cuda/kernels/ema.h"
#include "cuda/machine_arrays.h"

namespace vq::gpu {

// The rows of each code, ascending.
template <class M>
class SortedRows {
 public:
  SortedRows(M& machine, int64_t n, int64_t k)
      : machine_(machine), n_(n), k_(k), keys_(machine, n), order_(machine, n), sorted_keys_(machine, n),
        rows_(machine, n), starts_(machine, k + 1), bad_(machine) {
    while ((int64_t{1} << bits_) <= k) ++bits_;
  }
  // A failure waits for `check`: until then a row with a wrong index counts nowhere.
  void enqueue(const int32_t* indices) { enqueue(indices, n_, bad_.cell(0)); }
  void enqueue(const int32_t* indices, int64_t n, int64_t* bad) {
    machine_.launch(each_of(n, SortKeys{indices, k_, keys_.data(), order_.data(), bad}));
    machine_.sort_pairs(keys_.data(), order_.data(), sorted_keys_.data(), rows_.data(), n, bits_);
    machine_.launch(each_of(k_ + 1, SegmentStarts{sorted_keys_.data(), n, starts_.data()}));
  }
  void check(const int32_t* indices) const {
    const int64_t row = bad_.values()[0];
    if (row == kNone) return;
    fail(Error::kValue, "index " + std::to_string(fetch(machine_, indices + row, 1)[0]) + " of row " +
                            std::to_string(row) + " is outside the codebook of " + std::to_string(k_) + " codes");
  }
  const int32_t* keys() const { return sorted_keys_.data(); }
  const int32_t* rows() const { return rows_.data(); }
  const int64_t* starts() const { return starts_.data(); }

 private:
  M& machine_;
  int64_t n_, k_;
  int bits_ = 1;
  Array<M, int32_t> keys_, order_, sorted_keys_, rows_;
  Array<M, int64_t> starts_;
  Firsts<M, 1> bad_;
};

// Sums and counts of each code's rows, in the order that kernels/code_rows.h states.
template <class M>
void code_sums(M& m, const float* x, int64_t n, int64_t dim, int64_t k, const SortedRows<M>& order, float* counts, float* sums) {
  constexpr int64_t kFew = 8;  // rows per code with which a block per code would mostly wait
  const bool few = n < kFew * k;
  Array<M, float> segments(m, ceil_div(n, kSegment) * dim);
  StretchSums all{x, n, k, dim, order.keys(), order.rows(), order.starts(), sums, segments.data()};
  if (few) {
    m.launch(each_of(k * dim, RestSums{x, dim, order.rows(), order.starts(), sums}));
    all.k_first = k;
  }
  m.launch(all);
  m.launch(each_of(k * dim, JoinSums{order.starts(), dim, segments.data(), sums, counts}));
}

struct EmaArrays {
  const float *codebook, *counts, *sums;
  float *codebook_out, *counts_out, *sums_out;
};

template <class M>
void ema_update(const Run<M>& run, const float* x, const int32_t* indices, int64_t n, int64_t dim, int64_t k,
                const EmaArrays& a, double decay, double epsilon) {
  if (n > INT32_MAX || k >= INT32_MAX) fail(Error::kShape, "more than 2^31 - 1 rows");
  M& m = run.machine;
  SortedRows<M> order(m, n, k);
  Array<M, float> counts(m, k), sums(m, k * dim), total(m, 1);
  Firsts<M, 4> bad(m);
  order.enqueue(indices);
  code_sums(m, x, n, dim, k, order, counts.data(), sums.data());
  m.launch(each_of(k * dim, NoteEmaNotFinite{sums.data(), a.sums, a.counts, dim, bad.cell(0), bad.cell(1), bad.cell(2)}));
  order.check(indices);
  const std::vector<int64_t> first = bad.values();
  if (first[0] != kNone) {
    // Either a row is not finite or the sum overflowed: name the first row that is to blame.
    m.launch(each_of(n * dim, NoteRowsNotFinite{x, indices, dim, bad.cell(3)}));
    const int64_t row = bad.values()[3];
    if (row != kNone) fail_at_row(m, x, row, dim, " ", "");
    fail(Error::kValue, "the sum of the rows of code " + std::to_string(first[0] / dim) + " overflows float32");
  }
  if (first[1] != kNone || first[2] != kNone)
    fail(Error::kValue, "the moving averages of code " +
                            std::to_string(least(first[1] == kNone ? kNone : first[1] / dim, first[2])) + " are not finite");
  run.look();
  const float decay32 = static_cast<float>(decay), share = static_cast<float>(1.0 - decay);
  m.launch(each_of(k, EmaCounts{decay32, share, a.counts, counts.data(), a.counts_out}));
  m.launch(OrderedTotal{a.counts_out, k, total.data()});
  m.launch(each_of(k * dim, EmaApply{decay32, share, static_cast<float>(epsilon), k, dim, a.counts_out, total.data(),
                                     a.sums, sums.data(), a.codebook, a.sums_out, a.codebook_out}));
}

}  // namespace vq::gpu
