// The rows of a k-means: on the device, or in host memory and passing through it in blocks. Spherical k-means meets them as
// unit rows either way.
#pragma once
#include <functional>
#include <memory>

#include "cuda/host_rows.h"
#include "cuda/kernels/kmeans.h"

namespace vq::gpu {

template <class M>
class KmeansRows {
 public:
  // x on the device, or null and host_x. block: rows of a block, 0 where all are to stay on the device.
  KmeansRows(M& machine, const float* x, const float* host_x, int64_t n, int64_t dim, int64_t block)
      : m_(machine), x_(x), host_x_(host_x), n_(n), dim_(dim) {
    if (x_) return;
    if (block > 0 && block < n) {
      stream_ = std::make_unique<HostRows<M>>(m_, host_x, n, dim, block);
      return;
    }
    own_ = std::make_unique<Array<M, float>>(m_, n * dim);
    put(m_, own_->data(), host_x, n * dim);
    x_ = own_->data();
  }
  bool streamed() const { return stream_ != nullptr; }
  int64_t block() const { return stream_ ? stream_->block() : n_; }
  int64_t blocks() const { return stream_ ? stream_->blocks() : 1; }
  const float* resident() const { return x_; }

  // From now on rows are divided by their norms.
  void make_unit() {
    unit_ = std::make_unique<Array<M, float>>(m_, block() * dim_);
    norms_ = std::make_unique<Array<M, float>>(m_, block());
    if (streamed()) return;
    normalise(x_, n_, unit_->data());
    x_ = unit_->data();
    own_.reset();
  }
  // rows / norm, on the device; at most a block of them.
  void normalise(const float* rows, int64_t count, float* out) {
    m_.launch(RowNorms{rows, count, dim_, RowNorms::kRoot, RowNorms::kNever, norms_->data(), 1, nullptr});
    m_.launch(each_of(count * dim_, UnitRows{rows, norms_->data(), dim_, out}));
  }

  // f(rows on the device, first row, how many), block after block; f does not wait for the device.
  template <class F>
  void each(F&& f) {
    if (!streamed()) return f(x_, int64_t{0}, n_);
    stream_->each(
        [&](const float* rows, int64_t begin, int64_t count) {
          if (unit_) {
            normalise(rows, count, unit_->data());
            rows = unit_->data();
          }
          f(rows, begin, count);
        },
        [](int64_t, int64_t) {});
  }

  // Copies of a few rows to the device, one behind another.
  void gather(const std::vector<int64_t>& rows, float* out) {
    const int64_t count = static_cast<int64_t>(rows.size());
    if (count == 0) return;
    if (!streamed()) {
      Array<M, int64_t> chosen(m_, count);
      put(m_, chosen.data(), rows.data(), count);
      m_.launch(each_of(count * dim_, NewCentroids{x_, nullptr, nullptr, nullptr, chosen.data(), x_, dim_, out}));
      return;
    }
    std::vector<float> values(static_cast<size_t>(count * dim_));
    for (int64_t i = 0; i < count; ++i) {
      const std::vector<float> row = host_row(rows[i]);
      std::copy(row.begin(), row.end(), values.begin() + i * dim_);
    }
    put(m_, out, values.data(), count * dim_);
  }
  // A row as k-means meets it.
  std::vector<float> host_row(int64_t row) const {
    if (!streamed()) return fetch(m_, x_ + row * dim_, dim_);
    std::vector<float> values(host_x_ + row * dim_, host_x_ + (row + 1) * dim_);
    if (!unit_) return values;
    float norm = 0;
    for (float v : values) norm = norm_step(norm, v);
    norm = root(norm);
    for (float& v : values) v = unit_element(v, norm);
    return values;
  }
  // The row as it was given, for words about it.
  const float* given(int64_t row) const { return host_x_ ? host_x_ + row * dim_ : nullptr; }

 private:
  M& m_;
  const float *x_, *host_x_;
  int64_t n_, dim_;
  std::unique_ptr<Array<M, float>> own_, unit_, norms_;
  std::unique_ptr<HostRows<M>> stream_;
};

}  // namespace vq::gpu
