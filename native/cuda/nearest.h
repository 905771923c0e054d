// Nearest code on a machine: what a codebook needs once, and the rows in launches short enough to be stopped between.
#pragma once
#include <algorithm>

#include "cuda/host_rows.h"
#include "cuda/kernels/nearest.h"
#include "cuda/machine_arrays.h"

namespace vq::gpu {

// A codebook with its biases (l2) or norms (cosine).
template <class M>
class ReadyCodes {
 public:
  ReadyCodes(M& machine, int64_t k, int64_t dim, Kind kind)
      : machine_(machine), k_(k), dim_(dim), kind_(kind), numbers_(machine, k), bad_(machine) {}
  // Throws kValue naming the first code that is not finite, the codebook by `what`.
  void set(const float* codes, const char* what) {
    codes_ = codes;
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
    machine_.launch(Nearest{x, n, dim_, codes_, k_, kind_, x_norms, kind_ == Kind::kCosine ? numbers_.data() : nullptr,
                            kind_ == Kind::kL2 ? numbers_.data() : nullptr, indices, stride, distances, bad});
  }
  const float* numbers() const { return numbers_.data(); }
  // Rows whose scores take some tenths of a second on a large device: how long a stop may have to wait.
  int64_t rows_per_launch() const {
    const double each = static_cast<double>(k_) * static_cast<double>(dim_);
    return std::max<int64_t>(1 << 14, static_cast<int64_t>(std::min(1e12, 4e12 / each)));
  }

 private:
  M& machine_;
  int64_t k_, dim_;
  Kind kind_;
  const float* codes_ = nullptr;
  Array<M, float> numbers_;
  Firsts<M, 1> bad_;
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
             int32_t* indices, float* distances) {
  if (k > INT32_MAX) fail(Error::kShape, "codebook has more than 2^31 - 1 codes");
  ReadyCodes<M> ready(run.machine, k, dim, kind);
  ready.set(codes, "codebook");
  assign_rows(run, ready, x, n, dim, kind, indices, distances);
}

// The same with rows and results in host memory; distances may be null.
template <class M>
void nearest_host(const Run<M>& run, const float* x, int64_t n, int64_t dim, const float* codes, int64_t k, Kind kind,
                  int32_t* indices, float* distances, int64_t block_rows) {
  if (k > INT32_MAX) fail(Error::kShape, "codebook has more than 2^31 - 1 codes");
  M& m = run.machine;
  const int64_t block = n > 0 ? rows_per_block(m, n, dim, 4 * static_cast<uint64_t>(dim) + 12, block_rows) : 0;
  if (block == 0 || block >= n) {
    Array<M, float> rows(m, n * dim), near(m, distances ? n : 0);
    Array<M, int32_t> found(m, n);
    put(m, rows.data(), x, n * dim);
    nearest(run, rows.data(), n, dim, codes, k, kind, found.data(), near.data());
    get(m, indices, found.data(), n);
    if (distances) get(m, distances, near.data(), n);
    return;
  }
  ReadyCodes<M> ready(m, k, dim, kind);
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
