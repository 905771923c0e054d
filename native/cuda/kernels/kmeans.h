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

struct ClusterSums {
  const float *x, *weights;
  int64_t dim;
  const int32_t* rows;
  const int64_t* starts;
  double* sums;
  VQ_HD void operator()(int64_t i) const {
    const int64_t c = i / dim, d = i % dim, end = starts[c + 1];
    double sum = 0;
    for (int64_t at = starts[c]; at < end; ++at) {
      const int64_t row = row_at(rows, at);
      sum = fused(weight_of(weights, row), static_cast<double>(x[row * dim + d]), sum);
    }
    sums[i] = sum;
  }
};

// lanes [k, 32]
struct ClusterLanes {
  const float *x, *weights, *centres;
  int64_t dim;
  const int32_t* rows;
  const int64_t* starts;
  double* lanes;
  VQ_HD void operator()(int64_t i) const {
    const int64_t c = i / (2 * kLanes), lane = i % (2 * kLanes), end = starts[c + 1];
    const int64_t whole = dim / kLanes * kLanes;
    const int64_t from = lane < kLanes ? lane : whole + lane - kLanes, to = lane < kLanes ? whole : dim;
    double sum = 0;
    for (int64_t at = starts[c]; at < end; ++at) {
      const int64_t row = row_at(rows, at);
      const double w = weight_of(weights, row);
      for (int64_t d = from; d < to; d += kLanes) sum = spread_step(sum, w, x[row * dim + d], centres[c * dim + d]);
    }
    lanes[i] = sum;
  }
};

struct ClusterTotals {
  const float* weights;
  const int32_t* rows;
  const int64_t* starts;
  const double* lanes;
  double *spread, *weight;
  VQ_HD void operator()(int64_t c) const {
    spread[c] = lane_total(lanes + c * 2 * kLanes);
    double sum = 0;
    for (int64_t at = starts[c]; at < starts[c + 1]; ++at) sum += weight_of(weights, row_at(rows, at));
    weight[c] = sum;
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
  const int64_t* moved;                 // [k] the row that a centroid jumps to, or -1; null where none does
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
