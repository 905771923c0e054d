// Nearest code on a machine: what a codebook needs once, and the rows in launches short enough to be stopped between.
#pragma once
#include <algorithm>
#include <memory>

#include "cuda/code_filter.h"
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
    codes_ = codes;
    filter_.reset();
    const bool cosine = kind_ == Kind::kCosine;
    bad_.clear();
    machine_.launch(RowNorms{codes, k_, dim_, cosine ? RowNorms::kRoot : RowNorms::kHalf,
                             cosine ? RowNorms::kResult : RowNorms::kElement, numbers_.data(), 1, bad_.cell(0)});
    const int64_t code = bad_.values()[0];
    if (code == kNone) return;
    const std::vector<float> row = fetch(machine_, codes + code * dim_, dim_);
    fail(Error::kValue, std::string(what) + ": code " + std::to_string(code) + " " +
                            describe_row(row.data(), dim_, "its norm overflows float32"));
  }
  // Nearest codes of n rows from x on; the first row without one is noted in `bad`, counted from x.
  void assign(const float* x, int64_t n, const float* x_norms, int32_t* indices, int64_t stride, float* distances,
              int64_t* bad) const {
    const Nearest full{x, n, dim_, codes_, k_, kind_, x_norms, kind_ == Kind::kCosine ? numbers_.data() : nullptr,
                       kind_ == Kind::kL2 ? numbers_.data() : nullptr, indices, stride, distances, bad};
    if (!CodeFilter<M>::suits(machine_, route_, n, k_, dim_)) return machine_.launch(full);
    try {
      machine_.prepare_scan();
      if (!filter_) filter_ = std::make_unique<CodeFilter<M>>(machine_, full);
      filter_->assign(full, [&](const ScanArrays& a) { machine_.scan(a, route_ == Route::kFilterMma); });
    } catch (const Error& e) {  // memory that only the filter needs
      if (e.code != Error::kMemory) throw;
      machine_.launch(full);
    }
  }
  // Rows whose scores take some tenths of a second on a large device: how long a stop may have to wait.
  int64_t rows_per_launch() const {
    const double each = static_cast<double>(k_) * static_cast<double>(dim_);
    return std::max<int64_t>(1 << 14, static_cast<int64_t>(std::min(1e12, 4e12 / each)));
  }

 private:
  M& machine_;
  int64_t k_, dim_;
  Kind kind_;
  Route route_;
  const float* codes_ = nullptr;
  Array<M, float> numbers_;
  Firsts<M, 1> bad_;
  mutable std::unique_ptr<CodeFilter<M>> filter_;  // of these codes, once they were asked for
};

// All rows; throws naming the first without a nearest code.
template <class M>
void assign_rows(const Run<M>& run, const ReadyCodes<M>& ready, const float* x, int64_t n, int64_t dim, Kind kind,
                 int32_t* indices, float* distances) {
  M& m = run.machine;
  const bool cosine = kind == Kind::kCosine;
  const int64_t most = std::min(n, ready.rows_per_launch());
  Array<M, float> norms(m, cosine ? most : 0);
  Firsts<M, 1> bad(m);
  for (int64_t begin = 0; begin < n; begin += most) {
    run.look();
    const int64_t count = std::min(most, n - begin);
    const float* from = x + begin * dim;
    if (cosine) m.launch(RowNorms{from, count, dim, RowNorms::kRoot, RowNorms::kResult, norms.data(), 1, bad.cell(0)});
    ready.assign(from, count, norms.data(), indices + begin, 1, distances ? distances + begin : nullptr, bad.cell(0));
    const int64_t row = bad.values()[0];
    if (row != kNone) fail_without_code(m, x, begin + row, dim);
  }
}

template <class M>
void nearest(const Run<M>& run, const float* x, int64_t n, int64_t dim, const float* codes, int64_t k, Kind kind,
             int32_t* indices, float* distances, Route route = Route::kAuto) {
  if (k > INT32_MAX) fail(Error::kShape, "codebook has more than 2^31 - 1 codes");
  ReadyCodes<M> ready(run.machine, k, dim, kind, route);
  ready.set(codes, "codebook");
  assign_rows(run, ready, x, n, dim, kind, indices, distances);
}

}  // namespace vq::gpu
