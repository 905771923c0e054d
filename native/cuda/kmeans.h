// Lloyd's k-means on a machine. Rows, centroids, sums and assignments stay on the device; the host draws the random
// numbers, adds up what is one number per cluster, and walks the rare path of empty clusters. cpu/kmeans.cc is the reference.
//
// Where streaming of rows larger than device memory attaches: `measure` and `assign_rows` meet the rows in ascending order,
// so both can run over blocks of rows that a second stream uploads meanwhile, with sums carried from block to block.
#pragma once
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "cuda/ema_update.h"
#include "cuda/kernels/kmeans.h"
#include "cuda/nearest.h"
#include "vq/philox.h"

namespace vq::gpu {

struct KmeansJob {
  const float* x;
  const float* weights;  // on the device, or null
  int64_t n, k, dim;
  int iterations;
  int init;              // VQ_INIT_…
  double tolerance;
  uint64_t seed;
  bool spherical;
  const float* start;    // on the device
  float* centroids;
  int32_t* assignments;
  std::function<void(int, double)> progress;
};
struct KmeansOutcome {
  std::vector<double> history;
  bool converged = false;
};

template <class M>
class Kmeans {
 public:
  Kmeans(const Run<M>& run, const KmeansJob& job) : run_(run), m_(run.machine), o_(job) {}

  KmeansOutcome solve() {
    check_rows();
    Array<M, float> unit(m_, o_.spherical ? o_.n * o_.dim : 0);
    if (o_.spherical) {
      normalise(o_.x, o_.n, unit.data());
      o_.x = unit.data();
    }
    begin();
    const double close = o_.tolerance > 0 ? o_.tolerance * mean_variance() : -1;
    SortedRows<M> order(m_, o_.n, o_.k);
    Clusters c(m_, o_);
    ReadyCodes<M> ready(m_, o_.k, o_.dim, Kind::kL2);
    Array<M, float> next(m_, o_.k * o_.dim);
    Array<M, int32_t> before(m_, o_.n);
    Firsts<M, 1> changed(m_);
    KmeansOutcome out;
    for (int iteration = 0;; ++iteration) {
      run_.look();
      ready.set(o_.centroids, "centroids");
      assign_rows(run_, ready, o_.x, o_.n, o_.dim, Kind::kL2, o_.assignments, nullptr);
      order.enqueue(o_.assignments);
      const double inertia = measure(order.rows(), order.starts(), o_.k, o_.centroids, c);
      out.history.push_back(inertia);
      if (o_.progress) o_.progress(iteration, inertia);
      if (out.converged || iteration >= o_.iterations) break;
      if (iteration > 0) {
        changed.clear();
        m_.launch(each_of(o_.n, NoteDifferent{before.data(), o_.assignments, changed.cell(0)}));
        if (changed.values()[0] == kNone) {
          out.converged = true;
          break;
        }
      }
      m_.copy(before.data(), o_.assignments, static_cast<uint64_t>(o_.n) * sizeof(int32_t));
      out.converged = update(order, c, next.data(), close >= 0) <= close;
    }
    return out;
  }

 private:
  struct Clusters {
    Clusters(M& m, const KmeansJob& o)
        : sums(m, o.k * o.dim), lanes(m, o.k * 2 * kLanes), spread(m, o.k), weight(m, o.k), norms(m, o.spherical ? o.k : 0) {}
    Array<M, double> sums, lanes, spread, weight, norms;
    std::vector<double> host_spread, host_weight;
  };

  // Every row and its squared norm finite, weights usable, enough rows to draw from.
  void check_rows() {
    if (o_.n > INT32_MAX || o_.k >= INT32_MAX) fail(Error::kShape, "k-means takes at most 2^31 - 1 rows");
    Firsts<M, 1> bad(m_);
    m_.launch(RowNorms{o_.x, o_.n, o_.dim, RowNorms::kSquared, RowNorms::kResult, nullptr, 1, bad.cell(0)});
    const int64_t row = bad.values()[0];
    if (row != kNone) fail_at_row(m_, o_.x, row, o_.dim, " ", "is so large that its norm overflows float32");
    int64_t usable = o_.n;
    if (o_.weights) {
      host_weights_ = fetch(m_, o_.weights, o_.n);
      usable = 0;
      for (int64_t i = 0; i < o_.n; ++i) {
        const float w = host_weights_[i];
        if (!std::isfinite(w) || w < 0)
          fail(Error::kValue, "weight " + std::to_string(i) + " is " + std::to_string(w) +
                                  ", weights must be finite and at least 0");
        usable += w > 0;
      }
    }
    if (o_.k > usable)
      fail(Error::kConfig, "k is " + std::to_string(o_.k) + " and only " + std::to_string(usable) +
                               " rows can become centroids");
  }

  double weight(int64_t i) const { return o_.weights ? static_cast<double>(host_weights_[i]) : 1.0; }

  void normalise(const float* rows, int64_t count, float* out) {
    Array<M, float> norms(m_, count);
    m_.launch(RowNorms{rows, count, o_.dim, RowNorms::kRoot, RowNorms::kNever, norms.data(), 1, nullptr});
    m_.launch(each_of(count * o_.dim, UnitRows{rows, norms.data(), o_.dim, out}));
  }

  void begin() {
    Philox random(o_.seed);
    const uint64_t bytes = static_cast<uint64_t>(o_.k) * o_.dim * sizeof(float);
    if (o_.init == VQ_INIT_GIVEN) {
      if (o_.spherical) normalise(o_.start, o_.k, o_.centroids);
      else m_.copy(o_.centroids, o_.start, bytes);
    } else if (o_.init == VQ_INIT_RANDOM) {
      std::vector<int64_t> rows;
      for (int64_t i = 0; i < o_.n; ++i)
        if (weight(i) > 0) rows.push_back(i);
      const int64_t count = static_cast<int64_t>(rows.size());
      for (int64_t c = 0; c < o_.k; ++c) std::swap(rows[c], rows[c + random.below(count - c)]);
      Array<M, int64_t> chosen(m_, o_.k);
      put(m_, chosen.data(), rows.data(), o_.k);
      m_.launch(each_of(o_.k * o_.dim, NewCentroids{o_.x, nullptr, nullptr, nullptr, chosen.data(), o_.x, o_.dim, o_.centroids}));
    } else {
      plus_plus(random);
    }
  }

  // Source: Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
  void plus_plus(Philox& random) {
    constexpr int64_t kBlock = PlusPlusStep::kRows;
    const int64_t blocks = ceil_div(o_.n, kBlock);
    Array<M, float> nearest(m_, o_.n);
    Array<M, double> mass(m_, blocks);
    {
      const std::vector<float> far(static_cast<size_t>(o_.n), infinity());
      put(m_, nearest.data(), far.data(), o_.n);
    }
    std::vector<char> taken(static_cast<size_t>(o_.n), 0);
    for (int64_t c = 0; c < o_.k; ++c) {
      run_.look();
      const int64_t row = c == 0 ? first_centre(random) : next_centre(random, fetch(m_, mass.data(), blocks), nearest.data(), taken);
      taken[row] = 1;
      const float* centre = o_.x + row * o_.dim;
      m_.copy(o_.centroids + c * o_.dim, centre, static_cast<uint64_t>(o_.dim) * sizeof(float));
      m_.launch(PlusPlusStep{o_.x, o_.weights, centre, o_.n, o_.dim, nearest.data(), mass.data()});
    }
  }
  int64_t first_centre(Philox& random) const {
    double total = 0;
    for (int64_t i = 0; i < o_.n; ++i) total += weight(i);
    double left = random.uniform() * total;
    int64_t row = -1;
    for (int64_t i = 0; i < o_.n && (row < 0 || left >= 0); ++i) {
      if (!(weight(i) > 0)) continue;
      row = i;
      left -= weight(i);
    }
    return row;
  }
  int64_t next_centre(Philox& random, const std::vector<double>& mass, const float* nearest, const std::vector<char>& taken) {
    constexpr int64_t kBlock = PlusPlusStep::kRows;
    const int64_t blocks = static_cast<int64_t>(mass.size());
    double total = 0;
    for (double m : mass) total += m;
    double left = random.uniform() * total;
    int64_t row = -1;
    if (total > 0) {
      int64_t b = 0;
      for (int64_t i = 0; i < blocks; ++i) {
        if (!(mass[i] > 0)) continue;
        b = i;
        if (left < mass[i]) break;
        left -= mass[i];
      }
      const int64_t first = b * kBlock, count = std::min(kBlock, o_.n - first);
      const std::vector<float> near = fetch(m_, nearest + first, count);
      for (int64_t i = 0; i < count; ++i) {
        const double m = weight(first + i) * near[i];
        if (!(m > 0)) continue;
        row = first + i;
        if (left < m) break;
        left -= m;
      }
      return row;
    }
    // Every row lies on a centre already: any untaken row will do.
    int64_t free = 0;
    for (int64_t i = 0; i < o_.n; ++i) free += !taken[i] && weight(i) > 0;
    int64_t skip = random.below(free);
    for (int64_t i = 0; i < o_.n; ++i)
      if (!taken[i] && weight(i) > 0 && skip-- == 0) row = i;
    return row;
  }

  // Sums, weights and spread of every cluster; returns the inertia.
  double measure(const int32_t* rows, const int64_t* starts, int64_t k, const float* centres, Clusters& c) {
    m_.launch(each_of(k * o_.dim, ClusterSums{o_.x, o_.weights, o_.dim, rows, starts, c.sums.data()}));
    m_.launch(each_of(k * 2 * kLanes, ClusterLanes{o_.x, o_.weights, centres, o_.dim, rows, starts, c.lanes.data()}));
    m_.launch(each_of(k, ClusterTotals{o_.weights, rows, starts, c.lanes.data(), c.spread.data(), c.weight.data()}));
    c.host_spread = fetch(m_, c.spread.data(), k);
    c.host_weight = fetch(m_, c.weight.data(), k);
    double inertia = 0;
    for (double s : c.host_spread) inertia += s;
    return inertia;
  }

  // Weighted variance of the rows, averaged over dimensions: all rows in one cluster around the first row.
  double mean_variance() {
    KmeansJob one = o_;
    one.k = 1;
    Clusters c(m_, one);
    const int64_t range[] = {0, o_.n};
    Array<M, int64_t> starts(m_, 2);
    put(m_, starts.data(), range, 2);
    const double spread = measure(nullptr, starts.data(), 1, o_.x, c), weight = c.host_weight[0];
    const std::vector<double> sum = fetch(m_, c.sums.data(), o_.dim);
    const std::vector<float> first = fetch(m_, o_.x, o_.dim);
    double off = 0;
    for (int64_t d = 0; d < o_.dim; ++d) {
      const double t = sum[d] / weight - first[d];
      off = fused(t, t, off);
    }
    return std::max(0.0, spread / weight - off) / static_cast<double>(o_.dim);
  }

  // Gives every empty cluster the farthest row of the heaviest cluster that has rows away from its centroid.
  void split_largest(const SortedRows<M>& order, Clusters& c, std::vector<int64_t>& moved) {
    struct Donor {
      std::vector<int32_t> rows;
      std::vector<float> far;
    };
    std::map<int64_t, Donor> donors;
    for (int64_t k = 0; k < o_.k; ++k) {
      if (c.host_weight[k] > 0) continue;
      for (;;) {
        int64_t donor = -1;
        for (int64_t j = 0; j < o_.k; ++j)
          if (c.host_spread[j] > 0 && moved[j] < 0 && (donor < 0 || c.host_weight[j] > c.host_weight[donor])) donor = j;
        if (donor < 0) return;
        if (!donors.count(donor)) {
          const std::vector<int64_t> range = fetch(m_, order.starts() + donor, 2);
          const int64_t count = range[1] - range[0];
          const int32_t* rows = order.rows() + range[0];
          Array<M, float> far(m_, count);
          m_.launch(each_of(count, FarRows{o_.x, o_.weights, o_.centroids + donor * o_.dim, rows, o_.dim, far.data()}));
          donors[donor] = {fetch(m_, rows, count), fetch(m_, far.data(), count)};
        }
        Donor& d = donors[donor];
        int64_t best = -1, left = 0;
        for (int64_t i = 0; i < static_cast<int64_t>(d.rows.size()); ++i) {
          left += d.far[i] >= 0;
          if (d.far[i] > 0 && (best < 0 || d.far[i] > d.far[best])) best = i;
        }
        if (best < 0 || left < 2 || !(c.host_weight[donor] - weight(d.rows[best]) > 0)) {
          c.host_spread[donor] = 0;  // nothing left to give
          continue;
        }
        const int64_t row = d.rows[best];
        c.host_weight[donor] -= weight(row);
        m_.launch(each_of(o_.dim, TakeRow{c.sums.data() + donor * o_.dim, o_.x + row * o_.dim, weight(row)}));
        d.far[best] = -1;
        moved[k] = row;
        break;
      }
    }
  }

  // New centroids in place; returns the squared shift where it is wanted, else infinity.
  double update(const SortedRows<M>& order, Clusters& c, float* next, bool wanted) {
    std::vector<int64_t> moved;
    if (!std::all_of(c.host_weight.begin(), c.host_weight.end(), [](double w) { return w > 0; })) {
      moved.assign(static_cast<size_t>(o_.k), -1);
      split_largest(order, c, moved);
      put(m_, c.weight.data(), c.host_weight.data(), o_.k);
    }
    Array<M, int64_t> jumps(m_, static_cast<int64_t>(moved.size()));
    put(m_, jumps.data(), moved.data(), static_cast<int64_t>(moved.size()));
    if (o_.spherical) m_.launch(each_of(o_.k, MeanNorms{c.sums.data(), c.weight.data(), o_.dim, c.norms.data()}));
    m_.launch(each_of(o_.k * o_.dim, NewCentroids{o_.x, c.sums.data(), c.weight.data(), c.norms.data(), jumps.data(),
                                                  o_.centroids, o_.dim, next}));
    const double shift = wanted ? shift_between(next, o_.centroids) : infinity();
    m_.copy(o_.centroids, next, static_cast<uint64_t>(o_.k) * o_.dim * sizeof(float));
    return shift;
  }

  // One chain over all elements, as the reference has it: a host's core is faster at that than a device's thread.
  double shift_between(const float* a, const float* b) {
    constexpr int64_t kPart = 1 << 22;
    const int64_t count = o_.k * o_.dim;
    double shift = 0;
    for (int64_t at = 0; at < count; at += kPart) {
      const int64_t held = std::min(kPart, count - at);
      const std::vector<float> left = fetch(m_, a + at, held), right = fetch(m_, b + at, held);
      for (int64_t i = 0; i < held; ++i) {
        const double t = static_cast<double>(left[i]) - right[i];
        shift = fused(t, t, shift);
      }
    }
    return shift;
  }

  Run<M> run_;
  M& m_;
  KmeansJob o_;
  std::vector<float> host_weights_;
};

}  // namespace vq::gpu
