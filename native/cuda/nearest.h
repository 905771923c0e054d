// Nearest code on a machine: what a codebook needs once, and the rows in launches short enough to be stopped between.
#pragma once
#include <algorithm>
#include <memory>

#include "cuda/code_filter.h"
#include "cuda/host_rows.h"
#include "cuda/kernels/nearest.h"
#include "cuda/machine_arrays.h"

namespace vq::gpu {

// A codebook with its biases (l2) or norms (cosine).
template <class M>
class ReadyCodes {
 public:
  ReadyCodes(M& machine, int64_t k, int64_t dim, Kind kind, Route route = Route::kAuto)
      : machine_(machine), k_(k), dim_(dim), kind_(kind), route_(route), numbers_(machine, k), bad_(machine) {}
  // Throws kValue naming the first code that is not finite, the codebook by `what`.
  void set(const float* codes, const char* what) {
    begin(codes);
    check(bad_.values(), what);
  }
  // The same in two steps, for results that are looked at once: what `begin` noted is the first of them.
  void begin(const float* codes) {
    codes_ = codes;
    filter_.reset();
    const bool cosine = kind_ == Kind::kCosine;
    bad_.clear();
    machine_.launch(RowNorms{codes, k_, dim_, cosine ? RowNorms::kRoot : RowNorms::kHalf,
                             cosine ? RowNorms::kResult : RowNorms::kElement, numbers_.data(), 1, bad_.cell(0)});
  }
  void check(const std::vector<int64_t>& results, const char* what) const {
    if (results[0] == kNone) return;
    const std::vector<float> row = fetch(machine_, codes_ + results[0] * dim_, dim_);
    fail(Error::kValue, std::string(what) + ": code " + std::to_string(results[0]) + " " +
                            describe_row(row.data(), dim_, "its norm overflows float32"));
  }
  // The first bad code, and the first row noted in bad_row(), or kNone.
  std::vector<int64_t> results() const { return bad_.values(); }
  int64_t* bad_row() const { return bad_.cell(1); }
  // Nearest codes of n rows from x on; the first row without one is noted in `bad`, counted from x.
  void assign(const float* x, int64_t n, const float* x_norms, int32_t* indices, int64_t stride, float* distances,
              int64_t* bad) const {
    const Nearest full{x, n, dim_, codes_, k_, kind_, x_norms, kind_ == Kind::kCosine ? numbers_.data() : nullptr,
                       kind_ == Kind::kL2 ? numbers_.data() : nullptr, indices, stride, distances, bad};
    if (!CodeFilter<M>::suits(machine_, route_, n, k_, dim_)) return score_all(full);
    try {
      machine_.prepare_scan();
      if (!filter_) filter_ = std::make_unique<CodeFilter<M>>(machine_, full);
      filter_->assign(full, [&](const ScanArrays& a) { machine_.scan(a, route_ == Route::kFilterMma); });
    } catch (const Error& e) {  // memory that only the filter needs
      if (e.code != Error::kMemory) throw;
      score_all(full);
    }
  }
  const float* numbers() const { return numbers_.data(); }
  // Rows whose scores take some tenths of a second on a large device: how long a stop may have to wait.
  int64_t rows_per_launch() const {
    const double each = static_cast<double>(k_) * static_cast<double>(dim_);
    return std::max<int64_t>(1 << 14, static_cast<int64_t>(std::min(1e12, 4e12 / each)));
  }

 private:
  // Every score in float32. Where the rows alone would leave multiprocessors idle, blocks share their codes.
  void score_all(Nearest full) const {
    const int64_t blocks = Nearest::kBlocksAtOnce * machine_.processors(), down = ceil_div(full.n, Nearest::kRows);
    if (2 * down > blocks || k_ < 4 * Nearest::kCodes || down == 0) return machine_.launch(full);
    Array<M, int64_t> keys(machine_, full.n);
    Array<M, float> norms(machine_, full.n);
    machine_.launch(each_of(full.n, Fill<int64_t>{kNone, keys.data()}));
    full.keys = keys.data(), full.norms = norms.data(), full.most_blocks = blocks;
    machine_.launch(full);
    machine_.launch(each_of(full.n, SharedNearest{full}));
  }

  M& machine_;
  int64_t k_, dim_;
  Kind kind_;
  Route route_;
  const float* codes_ = nullptr;
  Array<M, float> numbers_;
  Firsts<M, 2> bad_;
  mutable std::unique_ptr<CodeFilter<M>> filter_;  // of these codes, once they were asked for
};

// All rows; throws naming the first without a nearest code, and before it a bad code of a codebook named `what`.
template <class M>
void assign_rows(const Run<M>& run, const ReadyCodes<M>& ready, const float* x, int64_t n, int64_t dim, Kind kind,
                 int32_t* indices, float* distances, const char* what = "codebook") {
  M& m = run.machine;
  const bool cosine = kind == Kind::kCosine;
  const int64_t most = std::min(n, ready.rows_per_launch());
  Array<M, float> norms(m, cosine ? most : 0);
  m.launch(each_of(1, Fill<int64_t>{kNone, ready.bad_row()}));
  for (int64_t begin = 0; begin < n; begin += most) {
    run.look();
    const int64_t count = std::min(most, n - begin);
    const float* from = x + begin * dim;
    if (cosine) m.launch(RowNorms{from, count, dim, RowNorms::kRoot, RowNorms::kResult, norms.data(), 1, ready.bad_row()});
    ready.assign(from, count, norms.data(), indices + begin, 1, distances ? distances + begin : nullptr, ready.bad_row());
    const std::vector<int64_t> results = ready.results();
    ready.check(results, what);
    if (results[1] != kNone) fail_without_code(m, x, begin + results[1], dim);
  }
}

template <class M>
void nearest(const Run<M>& run, const float* x, int64_t n, int64_t dim, const float* codes, int64_t k, Kind kind,
             int32_t* indices, float* distances, Route route = Route::kAuto) {
  if (k > INT32_MAX) fail(Error::kShape, "codebook has more than 2^31 - 1 codes");
  ReadyCodes<M> ready(run.machine, k, dim, kind, route);
  ready.begin(codes);
  if (n == 0) ready.check(ready.results(), "codebook");
  assign_rows(run, ready, x, n, dim, kind, indices, distances);
}

// The same with rows and results in host memory; distances may be null.
template <class M>
void nearest_host(const Run<M>& run, const float* x, int64_t n, int64_t dim, const float* codes, int64_t k, Kind kind,
                  int32_t* indices, float* distances, int64_t block_rows, Route route = Route::kAuto) {
  if (k > INT32_MAX) fail(Error::kShape, "codebook has more than 2^31 - 1 codes");
  M& m = run.machine;
  const int64_t block = n > 0 ? rows_per_block(m, n, dim, 4 * static_cast<uint64_t>(dim) + 12, block_rows) : 0;
  if (block == 0 || block >= n) {
    Array<M, float> rows(m, n * dim), near(m, distances ? n : 0);
    Array<M, int32_t> found(m, n);
    put(m, rows.data(), x, n * dim);
    nearest(run, rows.data(), n, dim, codes, k, kind, found.data(), near.data(), route);
    get(m, indices, found.data(), n);
    if (distances) get(m, distances, near.data(), n);
    return;
  }
  ReadyCodes<M> ready(m, k, dim, kind, route);
  ready.set(codes, "codebook");
  const bool cosine = kind == Kind::kCosine;
  Array<M, float> near(m, distances ? block : 0), norms(m, cosine ? block : 0);
  Array<M, int32_t> found(m, block);
  const int64_t most = std::min(block, ready.rows_per_launch());
  Array<M, int64_t> bad(m, ceil_div(block, most));
  HostRows<M>(m, x, n, dim, block).each(
      [&](const float* rows, int64_t, int64_t count) {
        m.launch(each_of(ceil_div(count, most), Fill<int64_t>{kNone, bad.data()}));
        for (int64_t begin = 0; begin < count; begin += most) {
          run.look();
          const int64_t some = std::min(most, count - begin);
          const float* from = rows + begin * dim;
          int64_t* cell = bad.data() + begin / most;
          if (cosine) m.launch(RowNorms{from, some, dim, RowNorms::kRoot, RowNorms::kResult, norms.data() + begin, 1, cell});
          ready.assign(from, some, norms.data() + (cosine ? begin : 0), found.data() + begin, 1,
                       distances ? near.data() + begin : nullptr, cell);
        }
      },
      [&](int64_t begin, int64_t count) {
        fail_at_first_bad(fetch(m, bad.data(), ceil_div(count, most)), most, x + begin * dim, begin, dim);
        get(m, indices + begin, found.data(), count);
        if (distances) get(m, distances + begin, near.data(), count);
      });
}

}  // namespace vq::gpu
