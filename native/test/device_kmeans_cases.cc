// k-means: the reference's bits, from buffers and from host memory, as a whole and in blocks.
#include <algorithm>
#include <cmath>
#include <limits>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"
#include "vq/quantize.h"

namespace vq_test {

using std::string;
using std::to_string;
using std::vector;

namespace {

struct Setting {
  int64_t n, k, dim;
  int kind;  // 0 spread rows, 1 few distinct rows, 2 all the same, 3 clusters that run empty
  int init = VQ_INIT_GIVEN;
  bool spherical = false, weighted = false;
  double tolerance = 0;
};
struct Data {
  explicit Data(const Setting& s) : x(draw(s.n * s.dim, 11)), start(draw(s.k * s.dim, 12)), weights(s.n) {
    for (int64_t i = 0; i < s.n * s.dim; ++i)
      if (s.kind == 1) x[i] = x[i % (5 * s.dim)];
      else if (s.kind == 2) x[i] = x[i % s.dim];
    if (s.kind == 3)  // starting centroids far from every row
      for (int64_t i = s.dim; i < s.k * s.dim; ++i) start[i] += 100;
    for (int64_t i = 0; i < s.n; ++i) weights[i] = static_cast<float>((i * 7 + 1) % 4) + (s.k > s.n / 2 ? 0.5f : 0.0f);
  }
  vector<float> x, start, weights;
};
vq::KmeansOptions options_of(const Setting& s, const Data& data, int iterations) {
  vq::KmeansOptions o;
  o.k = s.k, o.iterations = iterations, o.tolerance = s.tolerance, o.seed = 77, o.spherical = s.spherical;
  o.init = s.init == VQ_INIT_GIVEN    ? vq::KmeansOptions::kGiven
           : s.init == VQ_INIT_RANDOM ? vq::KmeansOptions::kRandom
                                      : vq::KmeansOptions::kPlusPlus;
  o.start = data.start.data();
  o.weights = s.weighted ? data.weights.data() : nullptr;
  return o;
}

constexpr int kFromBuffer = -1;  // else rows of a block, from host memory

void compare_kmeans(const DeviceCases& t, const Setting& s, const vector<int>& blocks) {
  constexpr int kIterations = 7;
  const Data data(s);
  vq::KmeansOptions o = options_of(s, data, kIterations);
  vector<double> expected_told;
  o.progress = [&](int, double inertia) { expected_told.push_back(inertia); };
  vector<float> centroids(s.k * s.dim);
  vector<int32_t> assigned(s.n);
  vq::KmeansResult want;
  const Failure failed = failure_of(
      [&] { want = vq::kmeans(data.x.data(), s.n, s.dim, o, centroids.data(), assigned.data(), {t.threads}); });
  for (int block : blocks) {
    const vq_backend& b = t.backend;
    DeviceArray<float> dx(b, t.context, data.x), dw(b, t.context, data.weights), ds(b, t.context, data.start);
    DeviceArray<float> dc(b, t.context, centroids.size());
    DeviceArray<int32_t> da(b, t.context, s.n);
    vector<double> history(kIterations + 1), told;
    vq_kmeans_args args{};
    args.n = s.n, args.k = s.k, args.dim = s.dim, args.iterations = kIterations, args.init = s.init;
    args.tolerance = s.tolerance, args.seed = 77, args.spherical = s.spherical;
    if (block == kFromBuffer) args.x = dx;
    else args.host_x = data.x.data(), args.block_rows = block;
    args.weights = s.weighted ? static_cast<vq_buffer*>(dw) : nullptr, args.start = ds;
    args.centroids = dc, args.assignments = da, args.history = history.data();
    args.progress = [](void* user, int32_t, double inertia) { static_cast<vector<double>*>(user)->push_back(inertia); };
    const vq_call call{nullptr, nullptr, &told};
    const Failure got = failure_of(b, b.kmeans(t.context, &args, &call));
    const string where = "k-means " + to_string(s.n) + " x " + to_string(s.k) + " x " + to_string(s.dim) + " kind " +
                         to_string(s.kind) + " init " + to_string(s.init) + (s.spherical ? " spherical" : "") +
                         (s.weighted ? " weighted" : "") + ", blocks " + to_string(block);
    t.expect(got == failed, where + ": '" + got.text + "', expected '" + failed.text + "'");
    t.expect(dc.intact() && da.intact(), where + ": wrote past an end");
    if (failed.code != VQ_OK || got.code != VQ_OK) continue;
    history.resize(args.history_size);
    t.expect(same_bits(history, want.history) && args.inertia == want.inertia, where + ": another inertia");
    t.expect(same_bits(told, expected_told), where + ": other reports");
    t.expect((args.converged != 0) == want.converged, where + ": ended for another reason");
    t.expect(same_bits(dc.values(), centroids), where + ": other centroids");
    t.expect(same_bits(da.values(), assigned), where + ": other assignments");
  }
}

void compare_all(const DeviceCases& t, Setting s, const vector<int>& blocks) {
  for (int init : {VQ_INIT_RANDOM, VQ_INIT_PLUS_PLUS, VQ_INIT_GIVEN})
    for (bool spherical : {false, true})
      for (bool weighted : {false, true})
        for (double tolerance : {0.0, 1e-3}) {
          s.init = init, s.spherical = spherical, s.weighted = weighted, s.tolerance = tolerance;
          compare_kmeans(t, s, blocks);
        }
}

}  // namespace

void DeviceCases::kmeans_settings() const {
  vector<Setting> settings = {{300, 20, 5, 0}, {150, 12, 21, 0}, {60, 40, 3, 1}, {30, 30, 2, 0},
                              {20, 3, 17, 2},  {90, 9, 4, 3},    {1, 1, 1, 0},   {600, 2, 33, 0}};
  if (large) settings.insert(settings.end(), {{20000, 256, 64, 0}, {5000, 700, 20, 1}, {3000, 64, 300, 3}});
  for (const Setting& s : settings) compare_all(*this, s, {kFromBuffer});
  compare_kmeans(*this, {40, 4, 2100, 0, VQ_INIT_PLUS_PLUS, false, true, 1e-3}, {kFromBuffer, 0});  // rows wider than a tile
}

void DeviceCases::kmeans_blocks() const {
  // 512 rows are the least that a block has; the last one is short.
  compare_all(*this, {1300, 7, 5, 0}, {0, 1, 1024, 5000});
  for (const Setting& s : {Setting{1100, 9, 4, 3}, Setting{1030, 600, 3, 1}, Setting{700, 5, 19, 2}})
    for (bool weighted : {false, true})
      for (bool spherical : {false, true}) {
        Setting one = s;
        one.weighted = weighted, one.spherical = spherical;
        compare_kmeans(*this, one, {512});
        one.init = VQ_INIT_PLUS_PLUS;
        if (s.kind == 2) compare_kmeans(*this, one, {512});
      }
  if (large) compare_kmeans(*this, {300000, 512, 64, 0, VQ_INIT_PLUS_PLUS, false, true, 1e-4}, {kFromBuffer, 0, 40000});
  // The first bad row, wherever its block is.
  const int64_t n = 2000, dim = 3;
  vector<float> x = draw(n * dim, 3);
  x[1500 * dim + 1] = x[1900 * dim] = std::nanf("");
  DeviceArray<float> centroids(backend, context, 5 * dim);
  DeviceArray<int32_t> assigned(backend, context, n);
  vq_kmeans_args a{};
  a.n = n, a.k = 5, a.dim = dim, a.iterations = 2, a.host_x = x.data(), a.block_rows = 512;
  a.centroids = centroids, a.assignments = assigned;
  const Failure got = failure_of(backend, backend.kmeans(context, &a, nullptr));
  expect(got == Failure{VQ_ERROR_VALUE, "row 1500 holds a NaN at element 1"}, "a bad row of a block: '" + got.text + "'");
  // Stopped between blocks.
  int asked = 0;
  const vq_call call{nullptr, [](void* user) { return ++*static_cast<int*>(user) >= 6 ? 1 : 0; }, &asked};
  x = draw(n * dim, 3);
  a.host_x = x.data();
  expect(backend.kmeans(context, &a, &call) == VQ_ERROR_STOPPED && asked == 6, "k-means of blocks stops when it is told");
}

// A tolerance that the first shift meets but for rounding: the reference's decision all the same.
void DeviceCases::kmeans_near_the_tolerance() const {
  for (int64_t dim : {1, 3, 16}) {
    Setting s{400, 6, dim, 0};
    const Data data(s);
    vector<float> first(s.k * dim), second(s.k * dim);
    vector<int32_t> assigned(s.n);
    vq::kmeans(data.x.data(), s.n, dim, options_of(s, data, 1), first.data(), assigned.data(), {1});
    vq::kmeans(data.x.data(), s.n, dim, options_of(s, data, 2), second.data(), assigned.data(), {1});
    double shift = 0, variance = 0;
    for (int64_t i = 0; i < s.k * dim; ++i) {
      const double d = static_cast<double>(second[i]) - first[i];
      shift = std::fma(d, d, shift);
    }
    for (int64_t d = 0; d < dim; ++d) {
      double mean = 0, square = 0;
      for (int64_t i = 0; i < s.n; ++i) mean += data.x[i * dim + d] / static_cast<double>(s.n);
      for (int64_t i = 0; i < s.n; ++i) square += std::pow(data.x[i * dim + d] - mean, 2) / static_cast<double>(s.n);
      variance += square / static_cast<double>(dim);
    }
    for (int ulps = -4; ulps <= 4; ++ulps) {
      s.tolerance = shift / variance * (1 + ulps * 0x1p-52);
      compare_kmeans(*this, s, {kFromBuffer, 0});
    }
  }
}

void DeviceCases::kmeans_failures() const {
  const int64_t n = 50, k = 5, dim = 3;
  const vector<float> clean = draw(n * dim, 3);
  const float inf = std::numeric_limits<float>::infinity();
  const auto both = [&](const vector<float>& x, const vector<float>& weights, int64_t clusters, const string& what) {
    vq::KmeansOptions o;
    o.k = clusters;
    o.weights = weights.empty() ? nullptr : weights.data();
    vector<float> centroids(clusters * dim);
    vector<int32_t> assigned(n);
    const Failure want = failure_of([&] { vq::kmeans(x.data(), n, dim, o, centroids.data(), assigned.data(), {1}); });
    DeviceArray<float> dx(backend, context, x), dw(backend, context, weights), dc(backend, context, clusters * dim);
    DeviceArray<int32_t> da(backend, context, n);
    vq_kmeans_args a{};
    a.n = n, a.k = clusters, a.dim = dim, a.iterations = 25, a.init = VQ_INIT_PLUS_PLUS, a.tolerance = 1e-4;
    a.x = dx, a.weights = weights.empty() ? nullptr : static_cast<vq_buffer*>(dw), a.centroids = dc, a.assignments = da;
    const Failure got = failure_of(backend, backend.kmeans(context, &a, nullptr));
    a.x = nullptr, a.host_x = x.data();
    expect(failure_of(backend, backend.kmeans(context, &a, nullptr)) == want, what + " from the host");
    expect(want.code != VQ_OK && got == want, what + ": '" + got.text + "', expected '" + want.text + "'");
  };
  for (float poison : {std::nanf(""), inf, 3e38f}) {
    vector<float> x = clean;
    x[40 * dim] = x[23 * dim + 1] = poison;
    both(x, {}, k, "a poisoned row");
  }
  for (float poison : {std::nanf(""), inf, -1.0f}) {
    vector<float> weights(n, 1.0f);
    weights[30] = weights[12] = poison;
    both(clean, weights, k, "a poisoned weight");
  }
  vector<float> few(n, 0.0f);
  few[1] = few[2] = 1;
  both(clean, few, k, "too few rows with weight");
  both(clean, {}, n + 1, "more clusters than rows");
}


}  // namespace vq_test
