// Lloyd's iterations: sums, spread and weight of every cluster in double, rows ascending, as cpu/kmeans.cc has them.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

struct UnitRows {
  const float *x, *norms;
  int64_t dim;
  float* out;
  VQ_HD void operator()(int64_t i) const { out[i] = unit_element(x[i], norms[i / dim]); }
};

VQ_HD double weight_of(const float* weights, int64_t row) { return weights ? static_cast<double>(weights[row]) : 1.0; }

// A null `rows` means all rows in their order.
VQ_HD int64_t row_at(const int32_t* rows, int64_t at) { return rows ? rows[at] : at; }

// What a cluster's rows add up to, in ascending row order: sums [k, dim], the lanes of its spread [k, 32], its weight [k].
// Blocks of rows go on from what is there; the caller begins with zeros.
struct ClusterRows {
  const float *x, *weights;  // weights null: 1 each
  const float* centres;      // [k, dim]
  int64_t dim;
  const int32_t* rows;
  const int64_t* starts;
  double *sums, *lanes, *weight;
};

// A block per cluster: all threads fetch whole rows, then a thread per element and one per lane add them in order.
struct ClusterPass {
  static constexpr int kThreads = 256, kTile = 8192, kMostRows = 128, kMostDim = 2048;
  static constexpr int kAdders = kThreads - 2 * kLanes;
  struct Shared {
    float tile[kTile];
    double weight[kMostRows];
  };
  struct Registers {
    double lane;
  };
  ClusterRows c;
  int64_t k;
  int64_t blocks() const { return k; }
  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t cluster = block.index(), begin = c.starts[cluster], end = c.starts[cluster + 1];
    if (begin == end) return;
    const int dim = static_cast<int>(c.dim), most = kTile / dim < kMostRows ? kTile / dim : kMostRows;
    const int whole = dim / kLanes * kLanes;
    double* sums = c.sums + cluster * dim;
    double* lanes = c.lanes + cluster * 2 * kLanes;
    const float* centre = c.centres + cluster * dim;
    block.each([&](int thread, Registers& r) {
      if (thread >= kAdders) r.lane = lanes[thread - kAdders];
    });
    for (int64_t at = begin; at < end; at += most) {
      const int count = static_cast<int>(least(most, end - at));
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < count * dim; i += kThreads)
          s.tile[i] = c.x[row_at(c.rows, at + i / dim) * dim + i % dim];
        if (thread < count) s.weight[thread] = weight_of(c.weights, row_at(c.rows, at + thread));
      });
      block.each([&](int thread, Registers& r) {
        for (int d = thread; thread < kAdders && d < dim; d += kAdders) {
          double sum = sums[d];
          for (int i = 0; i < count; ++i) sum = fused(s.weight[i], static_cast<double>(s.tile[i * dim + d]), sum);
          sums[d] = sum;
        }
        if (thread < kAdders) return;
        const int lane = thread - kAdders;
        const int from = lane < kLanes ? lane : whole + lane - kLanes, to = lane < kLanes ? whole : dim;
        for (int i = 0; i < count; ++i)
          for (int d = from; d < to; d += kLanes) r.lane = spread_step(r.lane, s.weight[i], s.tile[i * dim + d], centre[d]);
        if (lane != 2 * kLanes - 1) return;  // the lane that has least to do
        double total = c.weight[cluster];
        for (int i = 0; i < count; ++i) total += s.weight[i];
        c.weight[cluster] = total;
      });
    }
    block.each([&](int thread, Registers& r) {
      if (thread >= kAdders) lanes[thread - kAdders] = r.lane;
    });
  }
  static_assert(kThreads >= kMostRows && kMostDim <= kTile, "whole rows, a thread per weight");
};

// The same for rows of more elements than ClusterPass takes.
struct ClusterSums {
  ClusterRows c;
  VQ_HD void operator()(int64_t i) const {
    const int64_t cluster = i / c.dim, d = i % c.dim, end = c.starts[cluster + 1];
    double sum = c.sums[i];
    for (int64_t at = c.starts[cluster]; at < end; ++at) {
      const int64_t row = row_at(c.rows, at);
      sum = fused(weight_of(c.weights, row), static_cast<double>(c.x[row * c.dim + d]), sum);
    }
    c.sums[i] = sum;
    if (d != 0) return;
    double total = c.weight[cluster];
    for (int64_t at = c.starts[cluster]; at < end; ++at) total += weight_of(c.weights, row_at(c.rows, at));
    c.weight[cluster] = total;
  }
};
struct ClusterLanes {
  ClusterRows c;
  VQ_HD void operator()(int64_t i) const {
    const int64_t cluster = i / (2 * kLanes), lane = i % (2 * kLanes), end = c.starts[cluster + 1];
    const int64_t whole = c.dim / kLanes * kLanes;
    const int64_t from = lane < kLanes ? lane : whole + lane - kLanes, to = lane < kLanes ? whole : c.dim;
    double sum = c.lanes[i];
    for (int64_t at = c.starts[cluster]; at < end; ++at) {
      const int64_t row = row_at(c.rows, at);
      const double w = weight_of(c.weights, row);
      for (int64_t d = from; d < to; d += kLanes)
        sum = spread_step(sum, w, c.x[row * c.dim + d], c.centres[cluster * c.dim + d]);
    }
    c.lanes[i] = sum;
  }
};

// starts of one cluster that has all rows.
struct OneCluster {
  int64_t rows;
  int64_t* starts;
  VQ_HD void operator()(int64_t i) const { starts[i] = i == 0 ? 0 : rows; }
};

struct ClusterSpread {
  const double* lanes;
  double* spread;
  VQ_HD void operator()(int64_t c) const { spread[c] = lane_total(lanes + c * 2 * kLanes); }
};

// What the host has to know of an assignment: the inertia, which is the spreads added in ascending order, and the first
// cluster without weight. One thread adds, all fetch.
struct Tally {
  double inertia;
  int64_t empty;  // kNone where there is none
};
struct TallyClusters {
  static constexpr int kThreads = 256, kPart = 4 * kThreads;
  struct Shared {
    double spread[kPart], weight[kPart];
  };
  struct Registers {
    Tally tally;
  };
  const double *spread, *weight;
  int64_t k;
  Tally* out;
  int64_t blocks() const { return 1; }
  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    block.each([&](int, Registers& r) { r.tally = {0, kNone}; });
    for (int64_t at = 0; at < k; at += kPart) {
      const int held = static_cast<int>(least(kPart, k - at));
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < held; i += kThreads) s.spread[i] = spread[at + i], s.weight[i] = weight[at + i];
      });
      block.each([&](int thread, Registers& r) {
        if (thread != 0) return;
        for (int i = 0; i < held; ++i) {
          r.tally.inertia += s.spread[i];
          if (r.tally.empty == kNone && !(s.weight[i] > 0)) r.tally.empty = at + i;
        }
      });
    }
    block.each([&](int thread, Registers& r) {
      if (thread == 0) *out = r.tally;
    });
  }
};

// Sums of (a - b)^2 over parts of kPart elements, in whatever order suits the threads.
struct ShiftParts {
  static constexpr int kThreads = 256, kPart = 16 * kThreads;
  struct Shared {
    double sum[kThreads];
  };
  using Registers = Nothing;
  const float *a, *b;
  int64_t count;
  double* parts;
  int64_t blocks() const { return ceil_div(count, kPart); }
  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t from = block.index() * kPart;
    block.each([&](int thread, Nothing&) {
      double sum = 0;
      for (int64_t i = from + thread; i < least(from + kPart, count); i += kThreads) {
        const double t = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        sum = fused(t, t, sum);
      }
      s.sum[thread] = sum;
    });
    block.each([&](int thread, Nothing&) {
      if (thread != 0) return;
      double sum = 0;
      for (int i = 0; i < kThreads; ++i) sum += s.sum[i];
      parts[block.index()] = sum;
    });
  }
};

// Squared norms of the means, for spherical k-means.
struct MeanNorms {
  const double *sums, *weight;
  int64_t dim;
  double* norms;
  VQ_HD void operator()(int64_t c) const {
    double norm = 0;
    for (int64_t d = 0; d < dim && weight[c] > 0; ++d) {
      const double m = sums[c * dim + d] / weight[c];
      norm = fused(m, m, norm);
    }
    norms[c] = root(norm);
  }
};

struct NewCentroids {
  const float* x;
  const double *sums, *weight, *norms;  // norms null unless spherical
  const int64_t* moved;                 // [k] the row of x that a centroid jumps to, or -1; null where none does
  const float* now;
  int64_t dim;
  float* out;
  VQ_HD void operator()(int64_t i) const {
    const int64_t c = i / dim, d = i % dim;
    float v = now[i];
    if (moved && moved[c] >= 0) {
      v = x[moved[c] * dim + d];
    } else if (weight[c] > 0) {
      const double m = sums[i] / weight[c];
      v = static_cast<float>(norms && norms[c] > 0 ? m / norms[c] : m);
    }
    out[i] = v;
  }
};

// Squared distance of listed rows to one centre; 0 where a row does not count.
struct FarRows {
  const float *x, *weights, *centre;
  const int32_t* rows;
  int64_t dim;
  float* out;
  VQ_HD void operator()(int64_t i) const {
    const int64_t row = row_at(rows, i);
    float s = 0;
    for (int64_t d = 0; d < dim; ++d) {
      const float t = x[row * dim + d] - centre[d];
      s = fused(t, t, s);
    }
    out[i] = weights && !(weights[row] > 0) ? 0.0f : s;
  }
};

struct TakeRow {
  double* sums;  // of the donor
  const float* row;
  double weight;
  VQ_HD void operator()(int64_t d) const { sums[d] -= weight * static_cast<double>(row[d]); }
};

struct NoteDifferent {
  const int32_t *a, *b;
  int64_t* first;
  VQ_HD void operator()(int64_t i) const {
    if (a[i] != b[i]) note_first(first, i);
  }
};

// k-means++: the squared distance of every row to the nearest centre so far, and the mass of each 512 rows, added in order.
struct PlusPlusStep {
  static constexpr int kThreads = 256, kRows = 512;
  struct Shared {
    double mass[kRows];
  };
  using Registers = Nothing;
  const float *x, *weights, *centre;
  int64_t n, dim;
  float* nearest;
  double* mass;
  int64_t blocks() const { return ceil_div(n, kRows); }
  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t first = block.index() * kRows;
    const int rows = static_cast<int>(least(kRows, n - first));
    block.each([&](int thread, Nothing&) {
      for (int i = thread; i < rows; i += kThreads) {
        const float* row = x + (first + i) * dim;
        float d2 = 0;
        for (int64_t d = 0; d < dim; ++d) {
          const float t = row[d] - centre[d];
          d2 = fused(t, t, d2);
        }
        if (!(d2 < nearest[first + i])) d2 = nearest[first + i];
        nearest[first + i] = d2;
        s.mass[i] = weight_of(weights, first + i) * static_cast<double>(d2);
      }
    });
    block.each([&](int thread, Nothing&) {
      if (thread != 0) return;
      double sum = 0;
      for (int i = 0; i < rows; ++i) sum += s.mass[i];
      mass[block.index()] = sum;
    });
  }
};

}  // namespace vq::gpu
