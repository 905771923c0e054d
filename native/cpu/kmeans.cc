// Lloyd's k-means. Assignment by the nearest-code rule, sums per code in ascending row order in double precision.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "cpu/code_rows.h"
#include "cpu/kmeans_start.h"
#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"

namespace vq {
namespace {

struct Clusters {
  CodeRows order;                               // filled where it is needed
  Scratch<double> sums, lanes, spread, weight;  // [k, dim], [k, 32], [k], [k]
  bool sorted = false;
};

// Adds rows to sums, lanes and weights of their clusters. Each thread owns a range of clusters and meets their rows in
// ascending order: reading the rows as they lie while the sums fit the cache, else one cluster after another. Rows may come
// in several calls; the sums are those of one. Returns whether the order was needed.
bool add_to_clusters(const float* x, int64_t n, int64_t dim, int64_t k, const float* weights, const float* centroids,
                     const int32_t* assignments, CodeRows& order, double* sums, double* lanes, double* weight, int threads) {
  const QuantKernels& q = quant_kernels();
  const bool sorted = 8 * k * (dim + 2 * kSpreadLanes) > threads * (int64_t{1} << 19);
  if (sorted) order.sort(assignments, n, k);
  parallel_for(threads, 1, threads, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) {
      const int64_t from = sorted ? order.split(part, threads) : k * part / threads;
      const int64_t to = sorted ? order.split(part + 1, threads) : k * (part + 1) / threads;
      const auto add = [&](const int32_t* rows, int64_t count) {
        q.add_rows_spread(x, rows, count, dim, weights, assignments, centroids, sums, lanes);
        for (int64_t i = 0; i < count; ++i) weight[assignments[rows[i]]] += weights ? weights[rows[i]] : 1.0;
      };
      if (sorted) {
        if (to > from) add(order.rows(from), order.rows(to - 1) + order.count(to - 1) - order.rows(from));
      } else {
        constexpr int64_t kList = 2048;
        int32_t mine[kList];
        int64_t count = 0;
        for (int64_t i = 0; i < n; ++i) {
          mine[count] = static_cast<int32_t>(i);
          count += assignments[i] >= from && assignments[i] < to;
          if (count == kList) add(mine, count), count = 0;
        }
        add(mine, count);
      }
    }
  });
  return sorted;
}

int useful_threads(int64_t n, int64_t dim, int threads) {
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(std::max(1, threads), n * dim >> 17)));
}

// Sums, weights and spread of every cluster; returns the inertia.
double measure(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, const float* centroids,
               const int32_t* assignments, Clusters& c, int threads) {
  std::fill_n(c.sums.data(), o.k * dim, 0.0);
  std::fill_n(c.lanes.data(), o.k * 2 * kSpreadLanes, 0.0);
  std::fill_n(c.weight.data(), o.k, 0.0);
  c.sorted = add_to_clusters(x, n, dim, o.k, o.weights, centroids, assignments, c.order, c.sums.data(), c.lanes.data(),
                             c.weight.data(), threads);
  double inertia = 0;
  for (int64_t k = 0; k < o.k; ++k) inertia += c.spread[k] = spread_of(c.lanes.data() + k * 2 * kSpreadLanes);
  return inertia;
}

// Gives every empty cluster the farthest row of the heaviest cluster that has rows away from its centroid; the donor's
// mean is taken without that row. Where no such cluster is left, empty clusters stay where they are.
void split_largest(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, const float* centroids,
                   const int32_t* assignments, Clusters& c, std::vector<int64_t>& moved) {
  const QuantKernels& q = quant_kernels();
  if (!c.sorted) c.order.sort(assignments, n, o.k);
  Scratch<float> far;
  std::vector<char> ready(o.k);
  for (int64_t k = 0; k < o.k; ++k) {
    if (c.weight[k] > 0) continue;
    for (;;) {
      int64_t donor = -1;
      for (int64_t j = 0; j < o.k; ++j)
        if (c.spread[j] > 0 && moved[j] < 0 && (donor < 0 || c.weight[j] > c.weight[donor])) donor = j;
      if (donor < 0) return;
      const int32_t* rows = c.order.rows(donor);
      const int64_t count = c.order.count(donor);
      if (!ready[donor]) {
        if (far.size() == 0) far.reset(n);
        for (int64_t i = 0; i < count; ++i) {
          const float* row = x + static_cast<int64_t>(rows[i]) * dim;
          q.squared_to(&row, centroids + donor * dim, 1, dim, &far[rows[i]]);
          if (o.weights && !(o.weights[rows[i]] > 0)) far[rows[i]] = 0;
        }
        ready[donor] = 1;
      }
      int64_t best = -1, left = 0;
      for (int64_t i = 0; i < count; ++i) {
        left += far[rows[i]] >= 0;
        if (far[rows[i]] > 0 && (best < 0 || far[rows[i]] > far[best])) best = rows[i];
      }
      if (best < 0 || left < 2) {
        c.spread[donor] = 0;  // nothing left to give
        continue;
      }
      const double w = o.weights ? o.weights[best] : 1.0;
      if (!(c.weight[donor] - w > 0)) {
        c.spread[donor] = 0;
        continue;
      }
      c.weight[donor] -= w;
      for (int64_t d = 0; d < dim; ++d) c.sums[donor * dim + d] -= w * x[best * dim + d];
      far[best] = -1;
      moved[k] = best;
      break;
    }
  }
}

// New centroids in place; returns the squared shift.
double update(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, const int32_t* assignments, float* centroids,
              Clusters& c) {
  std::vector<int64_t> moved(o.k, -1);
  for (int64_t k = 0; k < o.k; ++k)
    if (!(c.weight[k] > 0)) {
      split_largest(x, n, dim, o, centroids, assignments, c, moved);
      break;
    }
  double shift = 0;
  std::vector<float> mean(dim);
  for (int64_t k = 0; k < o.k; ++k) {
    float* centroid = centroids + k * dim;
    if (moved[k] >= 0) {
      std::copy_n(x + moved[k] * dim, dim, mean.data());
    } else if (c.weight[k] > 0) {
      double norm = 0;
      for (int64_t d = 0; d < dim; ++d) {
        const double m = c.sums[k * dim + d] / c.weight[k];
        norm = std::fma(m, m, norm);
        mean[d] = static_cast<float>(m);
      }
      norm = std::sqrt(norm);
      if (o.spherical && norm > 0)
        for (int64_t d = 0; d < dim; ++d) mean[d] = static_cast<float>(c.sums[k * dim + d] / c.weight[k] / norm);
    } else {
      continue;
    }
    for (int64_t d = 0; d < dim; ++d) {
      const double t = static_cast<double>(mean[d]) - centroid[d];
      shift = std::fma(t, t, shift);
      centroid[d] = mean[d];
    }
  }
  return shift;
}

// Weighted variance of the rows, averaged over dimensions.
double mean_variance(const float* x, int64_t n, int64_t dim, const KmeansOptions& o) {
  Scratch<int32_t> rows(n);
  for (int64_t i = 0; i < n; ++i) rows[i] = static_cast<int32_t>(i);
  Scratch<int32_t> code(n);  // all rows in one cluster around the first row
  std::fill_n(code.data(), n, 0);
  std::vector<double> sum(dim), lanes(2 * kSpreadLanes);
  double weight = o.weights ? 0 : static_cast<double>(n);
  for (int64_t i = 0; o.weights && i < n; ++i) weight += o.weights[i];
  quant_kernels().add_rows_spread(x, rows.data(), n, dim, o.weights, code.data(), x, sum.data(), lanes.data());
  const double spread = spread_of(lanes.data());
  double off = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const double t = sum[d] / weight - x[d];
    off = std::fma(t, t, off);
  }
  return std::max(0.0, spread / weight - off) / static_cast<double>(dim);
}

// Throws unless every row is finite, its squared norm too, and the weights are usable. Returns how many rows can be
// drawn as centroids.
int64_t check_rows(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, int threads) {
  const QuantKernels& q = quant_kernels();
  FirstRow bad;
  parallel_for(n, std::max<int64_t>(256, (1 << 18) / dim), threads, [&](int64_t first, int64_t last) {
    constexpr int64_t kChunk = 256;
    const float* rows[kChunk];
    float norms[kChunk];
    for (int64_t at = first; at < last; at += kChunk) {
      const int64_t count = std::min(kChunk, last - at);
      for (int64_t i = 0; i < count; ++i) rows[i] = x + (at + i) * dim;
      q.squared(rows, nullptr, count, dim, norms);
      for (int64_t i = 0; i < count; ++i)
        if (!std::isfinite(norms[i])) bad.note(at + i);
    }
  });
  if (bad.any())
    fail(Error::kValue, "row " + std::to_string(bad.row()) + " " +
                            describe_row(x + bad.row() * dim, dim, "is so large that its norm overflows float32"));
  if (!o.weights) return n;
  int64_t positive = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(o.weights[i]) || o.weights[i] < 0)
      fail(Error::kValue, "weight " + std::to_string(i) + " is " + std::to_string(o.weights[i]) +
                              ", weights must be finite and at least 0");
    positive += o.weights[i] > 0;
  }
  return positive;
}

// The first `width` elements of each row.
void copy_leading(const float* x, int64_t n, int64_t dim, int64_t width, float* to, int threads) {
  parallel_for(n, 1 << 14, threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) std::copy_n(x + i * dim, width, to + i * width);
  });
}

void start(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, const float* weights, float* centroids,
           const CallOptions& call) {
  Philox random(o.seed);
  if (o.init == KmeansOptions::kRandom) return start_random(x, n, dim, o.k, weights, random, centroids);
  start_plus_plus(x, n, dim, o.k, weights, random, centroids, call);
}

// A start for k-means of the first few elements only, which goes on from there: of so many rows as tell enough.
void start_of_leading(const float* x, int64_t n, int64_t width, const KmeansOptions& o, float* centroids,
                      const CallOptions& call) {
  const int64_t apart = o.weights ? 1 : std::max<int64_t>(1, n / (16 * o.k));
  if (apart == 1) return start(x, n, width, o, o.weights, centroids, call);
  const int64_t some = n / apart;
  Scratch<float> rows(static_cast<size_t>(some) * width);
  for (int64_t i = 0; i < some; ++i) std::copy_n(x + i * apart * width, width, rows.data() + i * width);
  start(rows.data(), some, width, o, nullptr, centroids, call);
}

Clusters clusters_of(int64_t k, int64_t dim) {
  Clusters c;
  c.sums.reset(static_cast<size_t>(k) * dim);
  c.lanes.reset(static_cast<size_t>(k) * 2 * kSpreadLanes);
  c.spread.reset(k);
  c.weight.reset(k);
  return c;
}

// Centroids from assignments.
void means_of(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, const int32_t* assignments, float* centroids,
              int threads) {
  Clusters clusters = clusters_of(o.k, dim);
  std::fill_n(centroids, o.k * dim, 0.0f);
  measure(x, n, dim, o, centroids, assignments, clusters, threads);
  update(x, n, dim, o, assignments, centroids, clusters);
}

// Assignments and updates by turns until nothing moves or all are done.
KmeansResult iterate(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, float* centroids, int32_t* assignments,
                     const CallOptions& call) {
  const double close = o.tolerance > 0 ? o.tolerance * mean_variance(x, n, dim, o) : -1;
  const int threads = useful_threads(n, dim, call.threads);
  Clusters clusters = clusters_of(o.k, dim);
  PackedCodebook packed;
  Scratch<int32_t> before(n);
  std::fill_n(before.data(), n, -1);
  KmeansResult result;
  for (int iteration = 0;; ++iteration) {
    packed.pack(centroids, o.k, dim, Metric::kL2, call.threads, "centroids", nullptr, PackedCodebook::use_for(n));
    nearest(x, n, packed, assignments, nullptr, call);
    result.inertia = measure(x, n, dim, o, centroids, assignments, clusters, threads);
    result.history.push_back(result.inertia);
    if (o.progress) o.progress(iteration, result.inertia);
    if (result.converged || iteration >= o.iterations) break;
    if (std::memcmp(before.data(), assignments, n * sizeof(int32_t)) == 0) {
      result.converged = true;
      break;
    }
    std::copy_n(assignments, n, before.data());
    result.converged = update(x, n, dim, o, assignments, centroids, clusters) <= close;
  }
  return result;
}

// k-means of the first elements of the rows, of more and more of them; assignments is what they end in.
void iterate_leading(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, int32_t* assignments,
                     const CallOptions& call) {
  KmeansOptions each = o;
  each.progress = nullptr;
  Scratch<float> part(static_cast<size_t>(n) * o.leading.back());
  Scratch<float> centroids(static_cast<size_t>(o.k) * o.leading.back());
  for (const int64_t width : o.leading) {
    copy_leading(x, n, dim, width, part.data(), call.threads);
    if (width == o.leading.front())
      start_of_leading(part.data(), n, width, o, centroids.data(), call);
    else
      means_of(part.data(), n, width, o, assignments, centroids.data(), useful_threads(n, width, call.threads));
    iterate(part.data(), n, width, each, centroids.data(), assignments, call);
  }
}

}  // namespace

KmeansResult kmeans(const float* x, int64_t n, int64_t dim, const KmeansOptions& o, float* centroids,
                    int32_t* assignments, const CallOptions& call) {
  if (n < 1 || dim < 1 || o.k < 1) fail(Error::kShape, "k-means needs rows, a dimension and k of at least 1");
  if (n > INT32_MAX || o.k > INT32_MAX) fail(Error::kShape, "k-means takes at most 2^31 - 1 rows");
  int64_t narrower = 0;
  for (const int64_t width : o.leading) {
    if (width <= narrower || width >= dim) fail(Error::kConfig, "leading must ascend from at least 1 to less than dim");
    narrower = width;
  }
  if (!o.leading.empty() && (o.spherical || o.init == KmeansOptions::kGiven))
    fail(Error::kConfig, "leading goes neither with unit rows nor with centroids that are given");
  const int64_t usable = check_rows(x, n, dim, o, call.threads);
  if (o.k > usable)
    fail(Error::kConfig, "k is " + std::to_string(o.k) + " and only " + std::to_string(usable) +
                             " rows can become centroids");
  const QuantKernels& q = quant_kernels();
  Scratch<float> unit;
  if (o.spherical) {
    unit.reset(static_cast<size_t>(n) * dim);
    Scratch<float> norms(n);
    normalise(q, x, n, dim, unit.data(), norms.data());
    x = unit.data();
  }
  if (!o.leading.empty()) {
    iterate_leading(x, n, dim, o, assignments, call);
    means_of(x, n, dim, o, assignments, centroids, useful_threads(n, dim, call.threads));
  } else if (o.init == KmeansOptions::kGiven) {
    if (!o.start) fail(Error::kShape, "no starting centroids given");
    std::copy_n(o.start, o.k * dim, centroids);
    if (o.spherical) {
      Scratch<float> norms(o.k);
      normalise(q, o.start, o.k, dim, centroids, norms.data());
    }
  } else {
    start(x, n, dim, o, o.weights, centroids, call);
  }
  return iterate(x, n, dim, o, centroids, assignments, call);
}

void kmeans_block(const float* x, int64_t n, int64_t dim, const float* centroids, int64_t k, int32_t* assignments,
                  const ClusterSums& to, const CallOptions& call) {
  if (dim < 1 || k < 1) fail(Error::kShape, "k-means needs a dimension and k of at least 1");
  if (n > INT32_MAX || k > INT32_MAX) fail(Error::kShape, "k-means takes at most 2^31 - 1 rows at a time");
  PackedCodebook packed;
  packed.pack(centroids, k, dim, Metric::kL2, call.threads, "centroids", nullptr, PackedCodebook::use_for(n));
  nearest(x, n, packed, assignments, nullptr, call);
  CodeRows order;
  add_to_clusters(x, n, dim, k, nullptr, centroids, assignments, order, to.sums, to.lanes, to.weight,
                  useful_threads(n, dim, call.threads));
}

}  // namespace vq
