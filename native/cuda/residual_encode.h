// Residual encoding on a machine: greedy in one launch for all levels where the codebooks allow, else level by level; beam
// search level by level.
//
// One launch costs what float32 multiply-adds cost. Where the tensor cores find the nearest codes of every level, level by
// level is the better route: `in_one_launch` decides.
#pragma once
#include <memory>

#include "cuda/host_rows.h"
#include "cuda/kernels/beam.h"
#include "cuda/kernels/residual.h"
#include "cuda/kernels/residual_loop.h"
#include "cuda/nearest.h"

namespace vq::gpu {

// Where the results of n rows go; all but codes may be null.
struct ResidualOut {
  int32_t* codes;                            // [n, levels]
  float *quantized, *errors, *level_errors;  // [n, dim], [n], [n, levels]
  ResidualOut from(int64_t row, int64_t dim, int64_t levels) const {
    return {codes + row * levels, quantized ? quantized + row * dim : nullptr, errors ? errors + row : nullptr,
            level_errors ? level_errors + row * levels : nullptr};
  }
};

template <class M>
class ResidualEncoder {
  using Narrow = ResidualLoop<128, 64>;
  using Wide = ResidualLoop<64, 128>;

 public:
  ResidualEncoder(M& machine, int64_t dim, const std::vector<const float*>& codebooks, const std::vector<int64_t>& sizes,
                  int32_t beam)
      : m_(machine), dim_(dim), levels_(static_cast<int64_t>(codebooks.size())), codebooks_(codebooks), sizes_(sizes), beam_(beam) {
    int64_t met = 0;
    for (int64_t level = 0; level < levels_; ++level) {
      if (sizes[level] > INT32_MAX) fail(Error::kShape, "a codebook has more than 2^31 - 1 codes");
      ready_.push_back(std::make_unique<ReadyCodes<M>>(m_, sizes[level], dim, Kind::kL2));
      ready_[level]->set(codebooks[level], ("codebook " + std::to_string(level)).c_str());
      met += sizes[level];
    }
    constexpr int64_t kRoom = int64_t{1} << 28;  // bytes of working memory at a time
    const double each = static_cast<double>(met) * static_cast<double>(dim) * beam;
    most_ = std::max<int64_t>(1 << 14, static_cast<int64_t>(std::min(1e12, 4e12 / each)));
    most_ = std::max<int64_t>(1, std::min(most_, kRoom / path_bytes()));
  }
  // Rows at a time: how long a stop may have to wait, and what memory there is for paths.
  int64_t most() const { return most_; }

  // Enqueues the encoding of n rows, at most `most`; the first row without a code is noted in `bad`, counted from x.
  void encode(const float* x, int64_t n, const ResidualOut& to, int64_t* bad) {
    if (beam_ > 1) return search(x, n, to, bad);
    if (!in_one_launch(n)) return by_level(x, n, to, bad);
    pack();
    if (dim_ <= Narrow::kMostDim) launch_loop<Narrow>(x, n, to, bad);
    else launch_loop<Wide>(x, n, to, bad);
  }

 private:
  // Codebooks that stay in the L2 cache while every block streams them.
  bool in_one_launch(int64_t n) const {
    constexpr int64_t kCached = int64_t{16} << 20;
    int64_t bytes = 0;
    bool filtered = true;
    for (int64_t size : sizes_) {
      bytes += size * dim_ * 4;
      filtered = filtered && CodeFilter<M>::suits(m_, Route::kAuto, n, size, dim_);
    }
    if (filtered) return false;
    return dim_ <= Wide::kMostDim && levels_ <= Narrow::kMostLevels && bytes <= kCached;
  }
  int64_t path_bytes() const { return beam_ * (8 * dim_ + 8 * beam_ + 4 * beam_ + 8 * levels_ + 12) + 4 * dim_; }

  void pack() {
    if (!tiles_.empty()) return;
    for (int64_t level = 0; level < levels_; ++level) {
      const int64_t count = ceil_div(sizes_[level], kLoopCodes) * kLoopCodes * dim_;
      tiles_.push_back(std::make_unique<Array<M, float>>(m_, count));
      m_.launch(each_of(count, PackTiles{codebooks_[level], sizes_[level], dim_, tiles_[level]->data()}));
    }
  }
  template <class Loop>
  void launch_loop(const float* x, int64_t n, const ResidualOut& to, int64_t* bad) {
    Loop loop{x, n, dim_, levels_, to.codes, to.quantized, to.errors, to.level_errors, bad, {}};
    for (int64_t l = 0; l < levels_; ++l)
      loop.level[l] = {codebooks_[l], tiles_[l]->data(), ready_[l]->numbers(), sizes_[l]};
    m_.launch(loop);
  }

  void norms(const float* rows, int64_t n, float* to, int64_t stride) {
    m_.launch(RowNorms{rows, n, dim_, RowNorms::kSquared, RowNorms::kNever, to, stride, nullptr});
  }
  // What the chosen codes add up to, and what they leave.
  void follow(const float* from, int64_t n, int64_t level, const ResidualOut& to, float* residual, bool errors) {
    const float* book = codebooks_[level];
    const int32_t* chosen = to.codes + level;
    if (residual) m_.launch(each_of(n * dim_, LevelResidual{from, book, chosen, dim_, levels_, residual}));
    if (to.quantized) m_.launch(each_of(n * dim_, AddLevel{book, chosen, dim_, levels_, level == 0, to.quantized}));
    if (to.level_errors) norms(residual, n, to.level_errors + level, levels_);
    if (errors && to.errors && level + 1 == levels_) norms(residual, n, to.errors, 1);
  }
  void by_level(const float* x, int64_t n, const ResidualOut& to, int64_t* bad) {
    Array<M, float> residual(m_, n * dim_);
    const float* from = x;
    for (int64_t level = 0; level < levels_; ++level, from = residual.data()) {
      ready_[level]->assign(from, n, nullptr, to.codes + level, levels_, nullptr, bad);
      follow(from, n, level, to, residual.data(), true);
    }
  }

  void search(const float* x, int64_t n, const ResidualOut& to, int64_t* bad) {
    const int64_t paths = n * beam_;
    Array<M, float> a(m_, paths * dim_), b(m_, paths * dim_), scores(m_, paths * beam_), errors(m_, paths * beam_), path_error(m_, paths);
    Array<M, int32_t> found(m_, paths * beam_), parent(m_, paths), code(m_, paths), alive(m_, n);
    Array<M, int32_t> history(m_, paths * levels_), grown(m_, paths * levels_);
    m_.launch(each_of(n, Fill<int32_t>{1, alive.data()}));
    const float* now = x;
    float *then = a.data(), *other = b.data();
    int32_t *past = history.data(), *next_past = grown.data();
    int32_t width = 1;
    for (int64_t level = 0; level < levels_; ++level) {
      const float* book = codebooks_[level];
      const int32_t keep = static_cast<int32_t>(std::min<int64_t>(beam_, sizes_[level]));
      const int32_t next = static_cast<int32_t>(std::min<int64_t>(beam_, static_cast<int64_t>(width) * keep));
      m_.launch(TopCodes{now, n * width, dim_, book, ready_[level]->numbers(), sizes_[level], keep, scores.data(), found.data()});
      m_.launch(each_of(n * width * keep, ProposalErrors{now, book, scores.data(), dim_, width, keep, alive.data(), found.data(),
                                                         errors.data(), bad}));
      m_.launch(KeepBest{n, width, keep, next, errors.data(), found.data(), parent.data(), code.data(), alive.data(),
                         path_error.data(), bad});
      m_.launch(each_of(n * next * dim_, GrowPaths{now, book, dim_, width, next, parent.data(), code.data(), alive.data(), then}));
      m_.launch(each_of(n * next * (level + 1), GrowHistory{past, parent.data(), code.data(), levels_, level, width, next, next_past}));
      now = then;
      std::swap(then, other);
      std::swap(past, next_past);
      width = next;
    }
    m_.launch(each_of(n, BestPath{past, path_error.data(), levels_, width, to.codes, to.errors}));
    const float* from = x;
    float* residual = to.level_errors ? a.data() : nullptr;
    for (int64_t level = 0; level < levels_; ++level, from = residual) follow(from, n, level, to, residual, false);
  }

  M& m_;
  int64_t dim_, levels_;
  std::vector<const float*> codebooks_;
  std::vector<int64_t> sizes_;
  int32_t beam_;
  int64_t most_;
  std::vector<std::unique_ptr<ReadyCodes<M>>> ready_;
  std::vector<std::unique_ptr<Array<M, float>>> tiles_;
};

template <class M>
void residual_encode(const Run<M>& run, const float* x, int64_t n, int64_t dim, const std::vector<const float*>& codebooks,
                     const std::vector<int64_t>& sizes, int32_t beam, const ResidualOut& to) {
  M& m = run.machine;
  const int64_t levels = static_cast<int64_t>(codebooks.size());
  ResidualEncoder<M> encoder(m, dim, codebooks, sizes, beam);
  Firsts<M, 1> bad(m);
  for (int64_t begin = 0; begin < n; begin += encoder.most()) {
    run.look();
    encoder.encode(x + begin * dim, std::min(encoder.most(), n - begin), to.from(begin, dim, levels), bad.cell(0));
    const int64_t row = bad.values()[0];
    if (row != kNone) fail_without_code(m, x, begin + row, dim);
  }
}

// The same with rows and results in host memory.
template <class M>
void residual_encode_host(const Run<M>& run, const float* x, int64_t n, int64_t dim, const std::vector<const float*>& codebooks,
                          const std::vector<int64_t>& sizes, int32_t beam, const ResidualOut& to, int64_t block_rows) {
  M& m = run.machine;
  const int64_t levels = static_cast<int64_t>(codebooks.size());
  const uint64_t each = 4 * static_cast<uint64_t>((to.quantized ? 2 : 1) * dim + 2 * levels + 1);
  ResidualEncoder<M> encoder(m, dim, codebooks, sizes, beam);
  if (n == 0) return;
  int64_t block = rows_per_block(m, n, dim, each, block_rows);
  if (block == 0) block = n;
  const bool streamed = block < n;
  const int64_t held = std::min(block, n);
  Array<M, int32_t> codes(m, held * levels);
  Array<M, float> quantized(m, to.quantized ? held * dim : 0), errors(m, to.errors ? held : 0);
  Array<M, float> level_errors(m, to.level_errors ? held * levels : 0);
  const ResidualOut on_device{codes.data(), quantized.data(), errors.data(), level_errors.data()};
  Array<M, int64_t> bad(m, ceil_div(held, encoder.most()));
  const auto enqueue = [&](const float* rows, int64_t, int64_t count) {
    const int64_t parts = ceil_div(count, encoder.most());
    m.launch(each_of(parts, Fill<int64_t>{kNone, bad.data()}));
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t begin = part * encoder.most();
      run.look();
      encoder.encode(rows + begin * dim, std::min(encoder.most(), count - begin), on_device.from(begin, dim, levels), bad.data() + part);
    }
  };
  const auto settle = [&](int64_t begin, int64_t count) {
    fail_at_first_bad(fetch(m, bad.data(), ceil_div(count, encoder.most())), encoder.most(), x + begin * dim, begin, dim);
    const ResidualOut there = to.from(begin, dim, levels);
    get(m, there.codes, codes.data(), count * levels);
    if (to.quantized) get(m, there.quantized, quantized.data(), count * dim);
    if (to.errors) get(m, there.errors, errors.data(), count);
    if (to.level_errors) get(m, there.level_errors, level_errors.data(), count * levels);
  };
  if (streamed) {
    HostRows<M>(m, x, n, dim, block).each(enqueue, settle);
  } else {
    Array<M, float> rows(m, n * dim);
    put(m, rows.data(), x, n * dim);
    enqueue(rows.data(), 0, n);
    settle(0, n);
  }
}

}  // namespace vq::gpu
