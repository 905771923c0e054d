// How rows are handed to threads, and what is said about a row that cannot be quantized.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>

#include "cpu/code_filter.h"
#include "cpu/quantize_kernels.h"
#include "vq/describe_row.h"
#include "vq/quantize.h"
#include "vq/threads.h"

namespace vq {

// Lowest row noted by any thread.
class FirstRow {
 public:
  void note(int64_t row) {
    int64_t now = row_.load();
    while (row < now && !row_.compare_exchange_weak(now, row)) {
    }
  }
  bool any() const { return row_.load() != INT64_MAX; }
  int64_t row() const { return row_.load(); }

 private:
  std::atomic<int64_t> row_{INT64_MAX};
};

inline bool finite(const float* row, int64_t dim) {
  for (int64_t d = 0; d < dim; ++d)
    if (!std::isfinite(row[d])) return false;
  return true;
}

// out = rows divided by their norms (square root of the ascending fused sum); norms[i] is 1 / 0-safe: a row whose norm is
// 0 becomes zeros. norms receives the norms.
void normalise(const QuantKernels& q, const float* x, int64_t n, int64_t dim, float* out, float* norms);

// A packed panel of `held` codes divided by their norms, as normalise does for rows.
void divide_panel(float* panel, int width, const float* norms, int64_t held, int64_t dim);

// One thread's view of the queue of row blocks.
class RowBlocks {
 public:
  RowBlocks(int64_t n, int64_t rows, int64_t room, std::atomic<int64_t>& cursor, const std::atomic<bool>* stop)
      : n_(n), rows_(rows), room_(room), cursor_(cursor), stop_(stop) {}
  int64_t rows() const { return rows_; }
  int64_t room() const { return room_; }  // bytes that this thread may take besides what it needs per row
  bool next(int64_t& begin, int64_t& count) {
    if (stop_ && stop_->load(std::memory_order_relaxed)) throw Stopped();
    begin = cursor_.fetch_add(rows_);
    if (begin >= n_) return false;
    count = std::min(rows_, n_ - begin);
    return true;
  }

 private:
  int64_t n_, rows_, room_;
  std::atomic<int64_t>& cursor_;
  const std::atomic<bool>* stop_;
};

// Runs body once per thread, on as many threads as pay for themselves; blocks are sized for the second-level cache and
// for 1 MB of working memory in all. `codes` is how many codes each row meets; `copied`, whether a thread keeps a copy of
// each row.
inline void for_row_blocks(int64_t n, int64_t dim, int64_t codes, const QuantKernels& q, const CallOptions& options,
                           bool copied, const std::function<void(RowBlocks&)>& body, int64_t bytes_per_row = 0) {
  constexpr int64_t kBudget = int64_t{900} << 10, kAll = int64_t{1000} << 10;
  const int64_t per_row = 4 * dim + 8 * q.state + 4 * q.panel + 16 + bytes_per_row +
                          (q.filter ? CodeFilter::bytes_per_row(dim) : 0);
  const int64_t taken = per_row - (copied ? 0 : 4 * dim);
  const double worth = static_cast<double>(n) * dim * codes / (1 << 18);
  // A thread may need one row more. What a caller asks for besides, as a beam's paths, may go beyond.
  const int64_t fitting = bytes_per_row > 0 ? INT64_MAX : kBudget / (taken + (copied ? 4 * dim : 0));
  const double most = std::min<double>({static_cast<double>(options.threads), worth, static_cast<double>(fitting)});
  const int64_t threads = std::max<int64_t>(1, static_cast<int64_t>(most));
  int64_t rows = std::min<int64_t>(240, std::max<int64_t>(1, kBudget / threads / per_row));
  rows = std::min(rows, (n + threads - 1) / threads);
  if (rows >= q.tile) rows = rows / q.tile * q.tile;
  const int64_t room = std::max<int64_t>(0, kAll / threads - rows * taken);
  std::atomic<int64_t> cursor{0};
  const int64_t blocks = (n + rows - 1) / rows;
  parallel_for(std::min(threads, blocks), 1, static_cast<int>(threads), [&](int64_t, int64_t) {
    RowBlocks mine(n, rows, room, cursor, options.stop);
    body(mine);
  });
}

}  // namespace vq
