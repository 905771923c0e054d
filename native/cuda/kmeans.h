// Lloyd's k-means on a machine. Rows, centroids, sums and assignments stay on the device; per iteration the host reads two
// cells. It draws the random numbers, from one number per 512 rows, and walks the rare path of empty clusters. cpu/kmeans.cc is
// the reference.
//
// Rows of the host that do not fit pass through the device in blocks, once per iteration and per centre that k-means++ draws:
// sums go on from block to block, in ascending row order, so that the result is that of resident rows to the bit.
#pragma once
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "cuda/ema_update.h"
#include "cuda/kernels/kmeans.h"
#include "cuda/kmeans_rows.h"
#include "cuda/nearest.h"
#include "vq/philox.h"

namespace vq::gpu {

struct KmeansJob {
  const float* x;        // on the device, or null and host_x
  const float* host_x;
  int64_t block_rows;    // as in vq/backend.h
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
  Kmeans(const Run<M>& run, const KmeansJob& job)
      : run_(run), m_(run.machine), o_(job),
        rows_(m_, job.x, job.host_x, job.n, job.dim, job.x ? 0 : rows_per_block(m_, job.n, job.dim, memory_of(job), job.block_rows)) {}

  KmeansOutcome solve() {
    check_rows();
    if (o_.spherical) rows_.make_unit();
    begin();
    const double close = o_.tolerance > 0 ? o_.tolerance * mean_variance() : -1;
    SortedRows<M> order(m_, rows_.block(), o_.k);
    Clusters c(m_, o_.k, o_.dim, o_.spherical);
    ReadyCodes<M> ready(m_, o_.k, o_.dim, Kind::kL2);
    Array<M, float> next(m_, o_.k * o_.dim);
    Array<M, int32_t> before(m_, o_.n);
    Firsts<M, 1> changed(m_);
    KmeansOutcome out;
    for (int iteration = 0;; ++iteration) {
      run_.look();
      ready.set(o_.centroids, "centroids");
      changed.clear();
      pass(ready, order, c);
      if (iteration > 0) m_.launch(each_of(o_.n, NoteDifferent{before.data(), o_.assignments, changed.cell(0)}));
      const Tally tally = c.tally();
      out.history.push_back(tally.inertia);
      if (o_.progress) o_.progress(iteration, tally.inertia);
      if (out.converged || iteration >= o_.iterations) break;
      if (iteration > 0 && changed.values()[0] == kNone) {
        out.converged = true;
        break;
      }
      m_.copy(before.data(), o_.assignments, static_cast<uint64_t>(o_.n) * sizeof(int32_t));
      out.converged = update(order, c, tally, next.data(), close);
    }
    return out;
  }

 private:
  struct Clusters {
    Clusters(M& m, int64_t k, int64_t dim, bool spherical)
        : m(m), k(k), dim(dim), sums(m, k * dim), lanes(m, k * 2 * kLanes), spread(m, k), weight(m, k), norms(m, spherical ? k : 0),
          cell(m, 1) {}
    void clear() {
      m.launch(each_of(k * dim, Fill<double>{0, sums.data()}));
      m.launch(each_of(k * 2 * kLanes, Fill<double>{0, lanes.data()}));
      m.launch(each_of(k, Fill<double>{0, weight.data()}));
    }
    // These rows join those that were added since `clear`.
    void add(const float* x, const float* weights, const int32_t* rows, const int64_t* starts, const float* centres) {
      const ClusterRows c{x, weights, centres, dim, rows, starts, sums.data(), lanes.data(), weight.data()};
      if (dim <= ClusterPass::kMostDim) return m.launch(ClusterPass{c, k});
      m.launch(each_of(k * dim, ClusterSums{c}));
      m.launch(each_of(k * 2 * kLanes, ClusterLanes{c}));
    }
    Tally tally() {
      m.launch(each_of(k, ClusterSpread{lanes.data(), spread.data()}));
      m.launch(TallyClusters{spread.data(), weight.data(), k, cell.data()});
      return fetch(m, cell.data(), 1)[0];
    }
    M& m;
    int64_t k, dim;
    Array<M, double> sums, lanes, spread, weight, norms;
    Array<M, Tally> cell;
  };

  // Bytes of the device that a row takes where all rows are there.
  static uint64_t memory_of(const KmeansJob& o) { return 4 * static_cast<uint64_t>(o.dim) * (o.spherical ? 2 : 1) + 32; }

  // Every row and its squared norm finite, weights usable, enough rows to draw from.
  void check_rows() {
    if (o_.n > INT32_MAX || o_.k >= INT32_MAX) fail(Error::kShape, "k-means takes at most 2^31 - 1 rows");
    Array<M, int64_t> bad(m_, rows_.blocks());
    m_.launch(each_of(rows_.blocks(), Fill<int64_t>{kNone, bad.data()}));
    rows_.each([&](const float* x, int64_t begin, int64_t count) {
      run_.look();
      m_.launch(RowNorms{x, count, o_.dim, RowNorms::kSquared, RowNorms::kResult, nullptr, 1, bad.data() + begin / rows_.block()});
    });
    const int64_t row = first_of(bad);
    if (row != kNone) fail(Error::kValue, "row " + std::to_string(row) + " " + words_of(row, "is so large that its norm overflows float32"));
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
  // A cell per block, counted from its first row.
  int64_t first_of(const Array<M, int64_t>& bad) const {
    const std::vector<int64_t> cells = fetch(m_, bad.data(), rows_.blocks());
    for (int64_t b = 0; b < rows_.blocks(); ++b)
      if (cells[b] != kNone) return b * rows_.block() + cells[b];
    return kNone;
  }
  std::string words_of(int64_t row, const char* otherwise) const {
    if (const float* given = rows_.given(row)) return describe_row(given, o_.dim, otherwise);
    const std::vector<float> values = fetch(m_, o_.x + row * o_.dim, o_.dim);
    return describe_row(values.data(), o_.dim, otherwise);
  }

  double weight(int64_t i) const { return o_.weights ? static_cast<double>(host_weights_[i]) : 1.0; }

  void begin() {
    Philox random(o_.seed);
    const uint64_t bytes = static_cast<uint64_t>(o_.k) * o_.dim * sizeof(float);
    if (o_.init == VQ_INIT_GIVEN) {
      if (!o_.spherical) return m_.copy(o_.centroids, o_.start, bytes);
      const int64_t most = rows_.block();
      for (int64_t c = 0; c < o_.k; c += most)
        rows_.normalise(o_.start + c * o_.dim, std::min(most, o_.k - c), o_.centroids + c * o_.dim);
    } else if (o_.init == VQ_INIT_RANDOM) {
      std::vector<int64_t> rows;
      for (int64_t i = 0; i < o_.n; ++i)
        if (weight(i) > 0) rows.push_back(i);
      const int64_t count = static_cast<int64_t>(rows.size());
      for (int64_t c = 0; c < o_.k; ++c) std::swap(rows[c], rows[c + random.below(count - c)]);
      rows.resize(static_cast<size_t>(o_.k));
      rows_.gather(rows, o_.centroids);
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
    m_.launch(each_of(o_.n, Fill<float>{infinity(), nearest.data()}));
    std::vector<char> taken(static_cast<size_t>(o_.n), 0);
    for (int64_t c = 0; c < o_.k; ++c) {
      run_.look();
      const int64_t row = c == 0 ? first_centre(random) : next_centre(random, fetch(m_, mass.data(), blocks), nearest.data(), taken);
      taken[row] = 1;
      float* centre = o_.centroids + c * o_.dim;
      rows_.gather({row}, centre);
      rows_.each([&](const float* x, int64_t begin, int64_t count) {  // blocks are multiples of kBlock
        m_.launch(PlusPlusStep{x, weights_from(begin), centre, count, o_.dim, nearest.data() + begin, mass.data() + begin / kBlock});
      });
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

  const float* weights_from(int64_t row) const { return o_.weights ? o_.weights + row : nullptr; }

  // Assigns every row and adds up the clusters.
  void pass(const ReadyCodes<M>& ready, SortedRows<M>& order, Clusters& c) {
    c.clear();
    Firsts<M, 1> never(m_);  // nearest codes are inside the codebook
    const int64_t most = std::min(rows_.block(), ready.rows_per_launch()), parts = ceil_div(rows_.block(), most);
    Array<M, int64_t> bad(m_, rows_.blocks() * parts);
    m_.launch(each_of(rows_.blocks() * parts, Fill<int64_t>{kNone, bad.data()}));
    const auto check = [&](int64_t cell, int64_t begin) {
      const int64_t row = fetch(m_, bad.data() + cell, 1)[0];
      if (row != kNone)
        fail(Error::kValue, "row " + std::to_string(begin + row) + " has no nearest code: it " +
                                describe_row(rows_.host_row(begin + row).data(), o_.dim, "is so large that its scores overflow float32"));
    };
    rows_.each([&](const float* x, int64_t begin, int64_t count) {
      int32_t* assigned = o_.assignments + begin;
      for (int64_t at = 0; at < count; at += most) {
        run_.look();
        const int64_t cell = begin / rows_.block() * parts + at / most;
        ready.assign(x + at * o_.dim, std::min(most, count - at), nullptr, assigned + at, 1, nullptr, bad.data() + cell);
        if (!rows_.streamed()) check(cell, at);  // nothing travels meanwhile: a stop shall not wait for all launches
      }
      order.enqueue(assigned, count, never.cell(0));
      c.add(x, weights_from(begin), order.rows(), order.starts(), o_.centroids);
    });
    for (int64_t cell = 0; rows_.streamed() && cell < rows_.blocks() * parts; ++cell)
      check(cell, cell / parts * rows_.block() + cell % parts * most);
  }

  // Weighted variance of the rows, averaged over dimensions: all rows in one cluster around the first row.
  double mean_variance() {
    Clusters c(m_, 1, o_.dim, false);
    c.clear();
    Array<M, int64_t> starts(m_, 2);
    Array<M, float> first(m_, o_.dim);
    rows_.gather({0}, first.data());
    rows_.each([&](const float* x, int64_t begin, int64_t count) {
      m_.launch(each_of(2, OneCluster{count, starts.data()}));
      c.add(x, weights_from(begin), nullptr, starts.data(), first.data());
    });
    const double spread = c.tally().inertia, weight = fetch(m_, c.weight.data(), 1)[0];
    const std::vector<double> sum = fetch(m_, c.sums.data(), o_.dim);
    const std::vector<float> origin = fetch(m_, first.data(), o_.dim);
    double off = 0;
    for (int64_t d = 0; d < o_.dim; ++d) {
      const double t = sum[d] / weight - origin[d];
      off = fused(t, t, off);
    }
    return std::max(0.0, spread / weight - off) / static_cast<double>(o_.dim);
  }

  // Gives every empty cluster the farthest row of the heaviest cluster that has rows away from its centroid.
  void split_largest(const SortedRows<M>& order, Clusters& c, std::vector<double>& spread, std::vector<double>& weights,
                     std::vector<int64_t>& moved) {
    std::map<int64_t, Donor> donors;
    Array<M, float> taken(m_, o_.dim);
    for (int64_t k = 0; k < o_.k; ++k) {
      if (weights[k] > 0) continue;
      for (;;) {
        int64_t donor = -1;
        for (int64_t j = 0; j < o_.k; ++j)
          if (spread[j] > 0 && moved[j] < 0 && (donor < 0 || weights[j] > weights[donor])) donor = j;
        if (donor < 0) return;
        if (!donors.count(donor)) donors[donor] = donor_of(order, donor);
        Donor& d = donors[donor];
        int64_t best = -1, left = 0;
        for (int64_t i = 0; i < static_cast<int64_t>(d.rows.size()); ++i) {
          left += d.far[i] >= 0;
          if (d.far[i] > 0 && (best < 0 || d.far[i] > d.far[best])) best = i;
        }
        if (best < 0 || left < 2 || !(weights[donor] - weight(d.rows[best]) > 0)) {
          spread[donor] = 0;  // nothing left to give
          continue;
        }
        const int64_t row = d.rows[best];
        weights[donor] -= weight(row);
        rows_.gather({row}, taken.data());
        m_.launch(each_of(o_.dim, TakeRow{c.sums.data() + donor * o_.dim, taken.data(), weight(row)}));
        d.far[best] = -1;
        moved[k] = row;
        break;
      }
    }
  }
  struct Donor {
    std::vector<int32_t> rows;
    std::vector<float> far;
  };
  // The rows of a cluster and how far each is from its centroid. Rows of the host are measured there.
  Donor donor_of(const SortedRows<M>& order, int64_t donor) {
    const float* centre = o_.centroids + donor * o_.dim;
    if (!rows_.streamed()) {
      const std::vector<int64_t> range = fetch(m_, order.starts() + donor, 2);
      const int64_t count = range[1] - range[0];
      const int32_t* rows = order.rows() + range[0];
      Array<M, float> far(m_, count);
      m_.launch(each_of(count, FarRows{rows_.resident(), o_.weights, centre, rows, o_.dim, far.data()}));
      return {fetch(m_, rows, count), fetch(m_, far.data(), count)};
    }
    Donor d;
    const std::vector<int32_t> assigned = fetch(m_, o_.assignments, o_.n);
    const std::vector<float> there = fetch(m_, centre, o_.dim);
    for (int64_t row = 0; row < o_.n; ++row) {
      if (assigned[row] != donor) continue;
      const std::vector<float> values = rows_.host_row(row);
      float far = 0;
      FarRows{values.data(), nullptr, there.data(), nullptr, o_.dim, &far}(0);
      d.rows.push_back(static_cast<int32_t>(row));
      d.far.push_back(weight(row) > 0 ? far : 0.0f);
    }
    return d;
  }

  // New centroids in place; returns whether their squared shift is at most `close`, which is negative where nobody asks.
  bool update(const SortedRows<M>& order, Clusters& c, const Tally& tally, float* next, double close) {
    std::vector<int64_t> moved;
    if (tally.empty != kNone) {
      std::vector<double> spread = fetch(m_, c.spread.data(), o_.k), weights = fetch(m_, c.weight.data(), o_.k);
      moved.assign(static_cast<size_t>(o_.k), -1);
      split_largest(order, c, spread, weights, moved);
      put(m_, c.weight.data(), weights.data(), o_.k);
    }
    // Only the rows that centroids jump to, so that it does not matter where all are.
    std::vector<int64_t> rows;
    for (int64_t& row : moved)
      if (row >= 0) rows.push_back(std::exchange(row, static_cast<int64_t>(rows.size())));
    Array<M, float> targets(m_, static_cast<int64_t>(rows.size()) * o_.dim);
    rows_.gather(rows, targets.data());
    Array<M, int64_t> jumps(m_, static_cast<int64_t>(moved.size()));
    put(m_, jumps.data(), moved.data(), static_cast<int64_t>(moved.size()));
    if (o_.spherical) m_.launch(each_of(o_.k, MeanNorms{c.sums.data(), c.weight.data(), o_.dim, c.norms.data()}));
    m_.launch(each_of(o_.k * o_.dim, NewCentroids{targets.data(), c.sums.data(), c.weight.data(), c.norms.data(), jumps.data(),
                                                  o_.centroids, o_.dim, next}));
    const bool still = close >= 0 && shift_within(next, o_.centroids, close);
    m_.copy(o_.centroids, next, static_cast<uint64_t>(o_.k) * o_.dim * sizeof(float));
    return still;
  }

  // Whether the reference's shift, one chain over all elements, is at most `close`. Sums of squares in any order differ by a
  // factor within 1 +- (count + 2) 2^-52; only where that leaves it open is the chain itself computed.
  bool shift_within(const float* a, const float* b, double close) {
    const int64_t count = o_.k * o_.dim, blocks = ceil_div(count, ShiftParts::kPart);
    Array<M, double> parts(m_, blocks);
    m_.launch(ShiftParts{a, b, count, parts.data()});
    double shift = 0;
    for (double part : fetch(m_, parts.data(), blocks)) shift += part;
    const double slack = 2 * static_cast<double>(count + blocks + ShiftParts::kThreads) * 0x1p-52;
    if (shift * (1 + slack) < close) return true;
    if (shift * (1 - slack) > close) return false;
    return shift_between(a, b) <= close;
  }
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
  KmeansRows<M> rows_;
  std::vector<float> host_weights_;
};

}  // namespace vq::gpu
