// The rows of each code in ascending order, and their sums.
//
// A sum is a chain of dependent additions, 4 cycles each: 1,000,000 rows of one code would take 2.3 ms on an H200, whose
// memory brings them in 0.06. So a code's list of rows is cut, from its beginning, into segments of kSegment rows: each
// segment is one chain in ascending row order, and the segments' sums are added in ascending order. The cut depends on
// nothing but the code's own rows, so every run gives the same bits. A code with at most kSegment rows has one segment and
// therefore the reference's bits. With more, S = ceil(rows / kSegment) of them, each element's sum is off the exact one by at
// most g(kSegment + S) sum |x|, g(m) = m u / (1 - m u), u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
// edition, equation 4.3, for a tree of that depth); the reference is off by up to g(rows) sum |x|.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

// Keys in [0, k]: a row that is left out (-1) goes behind the last code.
struct SortKeys {
  const int32_t* indices;
  int64_t k;
  int32_t *keys, *rows;
  int64_t* bad;  // the first row whose index is outside [-1, k)
  VQ_HD void operator()(int64_t i) const {
    const int32_t c = indices[i];
    const bool inside = c >= -1 && c < k;
    if (!inside) note_first(bad, i);
    keys[i] = inside && c >= 0 ? c : static_cast<int32_t>(k);
    rows[i] = static_cast<int32_t>(i);
  }
};

// starts[c] for c in [0, k].
struct SegmentStarts {
  const int32_t* keys;
  int64_t n;
  int64_t* starts;
  VQ_HD void operator()(int64_t c) const { starts[c] = lower_bound(keys, n, static_cast<int32_t>(c)); }
};

constexpr int64_t kSegment = 4096;

// Which rows of the sorted list a sum takes. A whole segment holds exactly one multiple of kSegment as a position in the
// sorted list, which numbers it: no scan is needed to find it. What is left of a code, less than a segment, is its rest.
struct Stretch {
  int64_t begin, end;
};
VQ_HD Stretch rest_of(const int64_t* starts, int64_t code) {
  const int64_t begin = starts[code], end = starts[code + 1];
  return {end - (end - begin) % kSegment, end};
}
VQ_HD Stretch segment_at(const int64_t* starts, const int32_t* keys, int64_t n, int64_t k, int64_t number) {
  const int64_t position = number * kSegment;
  if (position >= n || keys[position] >= k) return {0, 0};
  const int64_t first = starts[keys[position]], end = starts[keys[position] + 1];
  const int64_t begin = position - (position - first) % kSegment;
  return begin + kSegment <= end ? Stretch{begin, begin + kSegment} : Stretch{0, 0};
}
VQ_HD int64_t segments_before(int64_t position) { return ceil_div(position, kSegment); }

// Sums of stretches of the sorted list, kColumns elements each: all threads fetch a tile of rows while the last one's rows are
// added by a thread per element, in order. Blocks [0, k) x columns take the rests, those behind them the whole segments.
struct StretchSums {
  static constexpr int kThreads = 256, kColumns = 32, kRows = 128, kEach = kRows * kColumns / kThreads;
  struct Shared {
    float tile[kRows][kColumns];
  };
  struct Registers {
    float held[kEach];
    float sum;
  };
  const float* x;
  int64_t n, k, dim;
  const int32_t *keys, *rows;
  const int64_t* starts;
  float *sums, *segments;  // [k, dim] of the rests, [ceil(n / kSegment), dim] of the segments
  int64_t k_first = 0;     // k where the rests are summed elsewhere
  VQ_HD int64_t columns() const { return ceil_div(dim, kColumns); }
  VQ_HD int64_t most_segments() const { return ceil_div(n, kSegment); }
  int64_t blocks() const { return (k - k_first + most_segments()) * columns(); }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t item = k_first + block.index() / columns(), from = block.index() % columns() * kColumns;
    const Stretch t = item < k ? rest_of(starts, item) : segment_at(starts, keys, n, k, item - k);
    if (item >= k && t.begin == t.end) return;
    const int width = static_cast<int>(least(kColumns, dim - from));
    block.each([&](int thread, Registers& r) {
      r.sum = 0;
      fetch(r, thread, t.begin, t.end, from, width);
    });
    for (int64_t at = t.begin; at < t.end; at += kRows) {
      const int count = static_cast<int>(least(kRows, t.end - at));
      block.each([&](int thread, Registers& r) {
        for (int i = 0; i < kEach; ++i) s.tile[(thread + i * kThreads) / kColumns][thread % kColumns] = r.held[i];
      });
      block.each([&](int thread, Registers& r) {
        fetch(r, thread, at + kRows, t.end, from, width);
        if (thread < width)
          for (int i = 0; i < count; ++i) r.sum += s.tile[i][thread];
      });
    }
    block.each([&](int thread, Registers& r) {
      if (thread >= width) return;
      if (item < k) sums[item * dim + from + thread] = r.sum;
      else segments[(item - k) * dim + from + thread] = r.sum;
    });
  }

 private:
  VQ_HD void fetch(Registers& r, int thread, int64_t at, int64_t end, int64_t from, int width) const {
    const int column = thread % kColumns;
    for (int i = 0; i < kEach; ++i) {
      const int64_t place = at + (thread + i * kThreads) / kColumns;
      r.held[i] = place < end && column < width ? x[static_cast<int64_t>(rows[place]) * dim + from + column] : 0.0f;
    }
  }
  static_assert(kThreads % kColumns == 0, "a thread stays in its column");
};

// The same rests with a thread per element, where codes have few rows each.
struct RestSums {
  const float* x;
  int64_t dim;
  const int32_t* rows;
  const int64_t* starts;
  float* sums;
  VQ_HD void operator()(int64_t i) const {
    const Stretch t = rest_of(starts, i / dim);
    const float* column = x + i % dim;
    float sum = 0;
    for (int64_t at = t.begin; at < t.end; ++at) sum += column[static_cast<int64_t>(rows[at]) * dim];
    sums[i] = sum;
  }
};

// sums = the segments of a code in ascending order, then its rest; counts.
struct JoinSums {
  const int64_t* starts;
  int64_t dim;
  const float* segments;
  float *sums, *counts;
  VQ_HD void operator()(int64_t i) const {
    const int64_t c = i / dim, d = i % dim, count = starts[c + 1] - starts[c], whole = count / kSegment;
    if (d == 0) counts[c] = static_cast<float>(count);
    if (whole == 0) return;
    const float* from = segments + segments_before(starts[c]) * dim + d;
    float sum = from[0];
    for (int64_t s = 1; s < whole; ++s) sum += from[s * dim];
    sums[i] = count % kSegment ? sum + sums[i] : sum;
  }
};

}  // namespace vq::gpu
