#include "device_cases.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "device_buffers.h"
#include "device_reference.h"
#include "vq/error.h"
#include "vq/philox.h"
#include "vq/quantize.h"

namespace vq_test {
namespace {

using std::string;
using std::to_string;
using std::vector;

struct Size {
  int64_t n, k, dim;
  string text() const { return to_string(n) + " x " + to_string(k) + " x " + to_string(dim); }
};
// The edges of every tile, and sizes drawn between them.
vector<Size> sizes_of(bool large, uint64_t seed) {
  vector<Size> sizes = {{0, 3, 4},    {1, 1, 1},     {7, 1, 5},      {13, 33, 1},   {64, 64, 16},  {65, 65, 17},
                        {63, 129, 15}, {128, 64, 32}, {129, 40, 130}, {3, 70, 4096}, {200, 600, 3}, {40, 17, 33}};
  vq::Philox g(seed);
  for (int i = 0; i < (large ? 40 : 12); ++i)
    sizes.push_back({1 + g.below(large ? 5000 : 300), 1 + g.below(large ? 3000 : 200), 1 + g.below(large ? 300 : 70)});
  if (large) {
    sizes.push_back({100000, 1024, 64});
    sizes.push_back({300, 1000000, 8});
    sizes.push_back({1000000, 3, 4});
    sizes.push_back({70, 5000, 4096});
  }
  return sizes;
}

struct NearestOutcome {
  Failure failure;
  vector<int32_t> indices;
  vector<float> distances;
};

}  // namespace

const DeviceCases::Named DeviceCases::all[] = {
    {"nearest_sizes", &DeviceCases::nearest_sizes},         {"nearest_hard_data", &DeviceCases::nearest_hard_data},
    {"nearest_failures", &DeviceCases::nearest_failures},   {"ema_sizes", &DeviceCases::ema_sizes},
    {"ema_failures", &DeviceCases::ema_failures},           {"residual_sizes", &DeviceCases::residual_sizes},
    {"residual_failures", &DeviceCases::residual_failures}, {"kmeans_settings", &DeviceCases::kmeans_settings},
    {"kmeans_failures", &DeviceCases::kmeans_failures},     {"buffers_and_events", &DeviceCases::buffers_and_events},
    {"stopping", &DeviceCases::stopping},
    {"ema_skewed", &DeviceCases::ema_skewed},               {"residual_routes", &DeviceCases::residual_routes},
    {"residual_beams", &DeviceCases::residual_beams},       {"kmeans_blocks", &DeviceCases::kmeans_blocks},
    {"kmeans_near_the_tolerance", &DeviceCases::kmeans_near_the_tolerance},
    {"nearest_blocks", &DeviceCases::nearest_blocks},       {"estimators", &DeviceCases::estimators},
    {"codes_begin_anew", &DeviceCases::codes_begin_anew},   {"fsq_codes", &DeviceCases::fsq_codes},
    {"lfq_codes", &DeviceCases::lfq_codes},                 {"lattice_failures", &DeviceCases::lattice_failures},
    {"lfq_entropies", &DeviceCases::lfq_entropies},         {"lfq_entropies_repeat", &DeviceCases::lfq_entropies_repeat},
    {"filter_sizes", &DeviceCases::filter_sizes},           {"filter_hard_data", &DeviceCases::filter_hard_data},
    {"filter_worst_case", &DeviceCases::filter_worst_case}, {"filter_failures", &DeviceCases::filter_failures},
    {"far_ends", &DeviceCases::far_ends},
};
const int DeviceCases::count = sizeof(all) / sizeof(all[0]);

namespace {

// Both ways, with distances and without; outcomes must agree.
void compare_nearest(const DeviceCases& t, const Size& s, const vector<float>& x, const vector<float>& codes, int metric,
                     const string& what) {
  NearestOutcome want;
  want.indices.resize(s.n), want.distances.resize(s.n);
  want.failure = failure_of([&] {
    vq::nearest(x.data(), s.n, s.dim, codes.data(), s.k, static_cast<vq::Metric>(metric), want.indices.data(),
                want.distances.data(), {t.threads});
  });
  const vq_backend& b = t.backend;
  DeviceArray<float> dx(b, t.context, x), dc(b, t.context, codes), distances(b, t.context, s.n);
  for (bool with : {true, false}) {
    DeviceArray<int32_t> indices(b, t.context, s.n);
    const vq_nearest_args args{s.n, s.k, s.dim, metric, 0, dx, dc, indices, with ? static_cast<vq_buffer*>(distances) : nullptr};
    const Failure got = failure_of(b, b.nearest(t.context, &args, nullptr));
    const string where = what + " " + s.text() + " metric " + to_string(metric) + (with ? "" : " without distances");
    t.expect(got == want.failure, where + ": '" + got.text + "', expected '" + want.failure.text + "'");
    t.expect(indices.intact() && distances.intact(), where + ": wrote past an end");
    if (want.failure.code != VQ_OK || got.code != VQ_OK) continue;
    t.expect(same_bits(indices.values(), want.indices), where + ": other indices");
    if (with) t.expect(same_bits(distances.values(), want.distances), where + ": other distances");
  }
}

}  // namespace

void DeviceCases::nearest_sizes() const {
  for (const Size& s : sizes_of(large, 71))
    for (int metric : {VQ_L2, VQ_COSINE, VQ_DOT}) {
      vector<float> x = draw(s.n * s.dim, 1), codes = draw(s.k * s.dim, 2);
      if (s.n > 5) std::copy_n(codes.begin(), s.dim, x.begin() + 3 * s.dim);
      if (s.k > 20) std::copy_n(codes.begin(), s.dim, codes.begin() + 20 * s.dim);  // a duplicate: the lower code wins
      compare_nearest(*this, s, x, codes, metric, "nearest");
    }
}

void DeviceCases::nearest_hard_data() const {
  uint64_t seed = 40;
  for (const Size& s : {Size{67, 97, 33}, Size{30, 300, 19}, Size{70, 131, 40}})
    for (int kind = 0; kind < 11; ++kind) {
      vector<float> x = draw(s.n * s.dim, ++seed), codes = draw(s.k * s.dim, ++seed);
      const vector<float> noise = draw(codes.size(), ++seed);
      const int64_t dim = s.dim, all = s.k * dim;
      switch (kind) {
        case 0:  // codes that differ in their last bits
          for (int64_t i = 0; i < all; ++i) codes[i] = codes[i % dim] * (1 + 1e-7f * std::round(noise[i]));
          break;
        case 1:  // every code again and again
          for (int64_t i = 0; i < all; ++i) codes[i] = codes[i % (7 * dim)];
          break;
        case 2:  // far from the origin
          for (float& v : x) v = 1000 + 1e-2f * v;
          for (float& v : codes) v = 1000 + 1e-2f * v;
          break;
        case 3:  // an outlier among codes and rows
          for (int64_t d = 0; d < dim; ++d) codes[d] *= 1e6f, x[d] *= 1e6f;
          break;
        case 4:  // products that are denormal, and vectors that are
          for (float& v : x) v *= 1e-38f;
          for (float& v : codes) v *= 1e-38f;
          break;
        case 5:
          for (float& v : x) v *= 1e-42f;
          break;
        case 6:  // squares near the end of float32, and beyond it
          for (int64_t i = 0; i < all; ++i) codes[i] *= i < all / 2 ? 1e17f : 1e19f;
          break;
        case 7:  // rows from every scale
          for (int64_t i = 0; i < s.n * dim; ++i) x[i] *= std::ldexp(1.0f, static_cast<int>(i / dim % 40) * 3 - 60);
          break;
        case 8:  // codes from every scale
          for (int64_t i = 0; i < all; ++i) codes[i] *= std::ldexp(1.0f, static_cast<int>(i / dim % 40) * 3 - 60);
          break;
        case 9:  // zero rows and zero codes, of both signs
          for (int64_t i = 0; i < s.n * dim; i += 1) x[i] = i / dim % 3 == 0 ? 0.0f : -0.0f * x[i];
          for (int64_t i = 0; i < all; ++i) codes[i] = i / dim % 2 == 0 ? codes[i] : -0.0f;
          break;
        default:  // exact ties on a grid
          for (float& v : codes) v = std::round(v);
          for (float& v : x) v = std::round(v) / 2;
      }
      for (int metric : {VQ_L2, VQ_COSINE, VQ_DOT})
        compare_nearest(*this, s, x, codes, metric, "hard data " + to_string(kind));
    }
}

void DeviceCases::nearest_failures() const {
  const Size s{300, 70, 6};
  const float inf = std::numeric_limits<float>::infinity();
  for (float poison : {std::nanf(""), inf, -inf, 1e38f, 3e38f})
    for (int metric : {VQ_L2, VQ_COSINE, VQ_DOT}) {
      const vector<float> clean = draw(s.k * s.dim, 4);
      for (int element : {-1, 0, 5}) {
        vector<float> x = draw(s.n * s.dim, 3);
        for (int row : {270, 213, 220})
          for (int d = 0; d < s.dim; ++d)
            if (element < 0 || d == element) x[row * s.dim + d] = poison;
        compare_nearest(*this, s, x, clean, metric, "a poisoned row");
      }
      vector<float> codes = clean;
      codes[57 * s.dim + 2] = codes[17 * s.dim + 2] = poison;
      compare_nearest(*this, s, draw(s.n * s.dim, 3), codes, metric, "a poisoned code");
      compare_nearest(*this, {0, s.k, s.dim}, {}, codes, metric, "a poisoned code, no rows");
    }
  DeviceArray<float> x(backend, context, 10), codes(backend, context, 10);
  DeviceArray<int32_t> indices(backend, context, 10);
  const auto code_of = [&](vq_nearest_args a) { return backend.nearest(context, &a, nullptr); };
  expect(code_of({1000000, 5, 2, VQ_L2, 0, x, codes, indices, nullptr}) == VQ_ERROR_SHAPE, "rows that the buffer lacks");
  expect(code_of({5, 1000000, 2, VQ_L2, 0, x, codes, indices, nullptr}) == VQ_ERROR_SHAPE, "codes that the buffer lacks");
  expect(code_of({INT64_MAX / 2, 5, 4, VQ_L2, 0, x, codes, indices, nullptr}) == VQ_ERROR_SHAPE, "sizes that overflow");
  expect(code_of({5, 5, 2, 3, 0, x, codes, indices, nullptr}) == VQ_ERROR_CONFIG, "an unknown metric");
  expect(code_of({5, 5, 2, VQ_L2, 0, x, codes, nullptr, nullptr}) == VQ_ERROR_SHAPE, "no place for the indices");
  expect(code_of({5, 0, 2, VQ_L2, 0, x, codes, indices, nullptr}) == VQ_ERROR_SHAPE, "no codes");
  expect(code_of({-1, 1, 2, VQ_L2, 0, x, codes, indices, nullptr}) == VQ_ERROR_SHAPE, "fewer than no rows");
}

namespace {

struct EmaState {
  vector<float> codebook, counts, sums;
};

void compare_ema(const DeviceCases& t, const Size& s, const vector<float>& x, const vector<int32_t>& indices,
                 const EmaState& from, double decay, double epsilon, const string& what) {
  EmaState want = from;
  const Failure failed = failure_of([&] {
    vq::ema_update(x.data(), indices.data(), s.n, s.dim, s.k, from.codebook.data(), from.counts.data(), from.sums.data(),
                   want.codebook.data(), want.counts.data(), want.sums.data(), {decay, epsilon}, {t.threads});
  });
  const vq_backend& b = t.backend;
  DeviceArray<float> dx(b, t.context, x);
  DeviceArray<int32_t> di(b, t.context, indices);
  for (bool in_place : {true, false}) {
    DeviceArray<float> book(b, t.context, from.codebook), counts(b, t.context, from.counts), sums(b, t.context, from.sums);
    DeviceArray<float> book2(b, t.context, from.codebook), counts2(b, t.context, from.counts), sums2(b, t.context, from.sums);
    DeviceArray<float>&to = in_place ? book : book2, &to_counts = in_place ? counts : counts2, &to_sums = in_place ? sums : sums2;
    const vq_ema_args args{s.n, s.k, s.dim, decay, epsilon, dx, di, book, counts, sums, to, to_counts, to_sums};
    const Failure got = failure_of(b, b.ema_update(t.context, &args, nullptr));
    const string where = what + " " + s.text() + (in_place ? " in place" : "");
    t.expect(got == failed, where + ": '" + got.text + "', expected '" + failed.text + "'");
    t.expect(to.intact() && to_counts.intact() && to_sums.intact(), where + ": wrote past an end");
    const EmaState& expected = failed.code == VQ_OK ? want : from;  // a failure writes nothing
    t.expect(same_bits(to_counts.values(), expected.counts), where + ": other counts");
    t.expect(same_bits(to_sums.values(), expected.sums), where + ": other sums");
    t.expect(same_bits(to.values(), expected.codebook), where + ": another codebook");
  }
}

EmaState ema_start(const Size& s, uint64_t seed) {
  EmaState e{draw(s.k * s.dim, seed), vector<float>(s.k, 1.0f), {}};
  e.sums = e.codebook;
  return e;
}

}  // namespace

void DeviceCases::ema_sizes() const {
  vq::Philox g(5);
  for (const Size& s : sizes_of(large, 72))
    for (int kind = 0; kind < 3; ++kind) {
      vector<int32_t> indices(s.n);
      for (int32_t& i : indices)
        i = kind == 0 ? static_cast<int32_t>(g.below(s.k + 1)) - 1 : kind == 1 ? static_cast<int32_t>(s.k - 1) : -1;
      const double decay = kind == 2 ? 0 : 0.99;
      compare_ema(*this, s, draw(s.n * s.dim, 9), indices, ema_start(s, 10), decay, 1e-5, "ema");
    }
  // counts that reach 0 leave their code alone
  const Size s{4, 3, 2};
  compare_ema(*this, s, draw(8, 9), {1, 1, -1, 1}, ema_start(s, 10), 0, 0, "ema with empty codes");
}

void DeviceCases::ema_failures() const {
  const Size s{100, 9, 5};
  const EmaState fine = ema_start(s, 10);
  const float inf = std::numeric_limits<float>::infinity();
  vector<int32_t> indices(s.n);
  for (int i = 0; i < s.n; ++i) indices[i] = i % 10 - 1;
  for (int32_t wrong : {9, -2, INT32_MAX, INT32_MIN}) {
    vector<int32_t> bad = indices;
    bad[77] = bad[31] = wrong;
    compare_ema(*this, s, draw(s.n * s.dim, 9), bad, fine, 0.9, 1e-5, "an index outside");
  }
  for (float poison : {std::nanf(""), inf, 3e38f}) {
    vector<float> x = draw(s.n * s.dim, 9);
    for (int row : {40, 30}) x[row * s.dim + 3] = poison;  // rows that are left out
    compare_ema(*this, s, x, indices, fine, 0.9, 1e-5, "poison in a row that is left out");
    for (int row : {95, 55, 65}) x[row * s.dim + 3] = poison;
    compare_ema(*this, s, x, indices, fine, 0.9, 1e-5, "poison in rows that count");
    EmaState bad = fine;
    bad.sums[7 * s.dim + 1] = bad.counts[8] = poison;
    compare_ema(*this, s, draw(s.n * s.dim, 9), indices, bad, 0.9, 1e-5, "poison in sums");
    bad = fine;
    bad.counts[2] = bad.sums[8 * s.dim] = poison;
    compare_ema(*this, s, draw(s.n * s.dim, 9), indices, bad, 0.9, 1e-5, "poison in counts");
  }
}

void DeviceCases::buffers_and_events() const {
  const vq_backend& b = backend;
  const vector<float> values = draw(1000, 1);
  vq_memory before{}, within{}, after{};
  expect(b.memory(context, &before) == VQ_OK, "memory figures");
  {
    DeviceArray<float> from(b, context, values), to(b, context, vector<float>(values.size()));
    expect(b.memory(context, &within) == VQ_OK && within.buffers == before.buffers + 2 &&
               within.in_use == before.in_use + 2 * (values.size() + 64) * sizeof(float) && within.peak >= within.in_use,
           "figures of two buffers");
    expect(same_bits(from.values(), values), "what was uploaded comes back");
    vq_stream* stream = nullptr;
    vq_event *first = nullptr, *second = nullptr;
    expect(b.stream_create(context, &stream) == VQ_OK && b.event_create(context, &first) == VQ_OK &&
               b.event_create(context, &second) == VQ_OK,
           "a stream and two events");
    expect(b.event_record(first, stream) == VQ_OK, "recording");
    expect(b.copy(to, 40, from, 400, 2000, stream) == VQ_OK, "a copy on a stream");
    expect(b.event_record(second, stream) == VQ_OK, "recording again");
    float elapsed = -1;
    expect(b.event_elapsed(first, second, &elapsed) == VQ_OK && elapsed >= 0, "time passed");
    expect(b.stream_synchronize(context, stream) == VQ_OK, "waiting");
    vector<float> want(values.size());
    std::copy_n(values.begin() + 100, 500, want.begin() + 10);
    expect(same_bits(to.values(), want) && to.intact(), "the copied range, and no more");
    b.event_destroy(first), b.event_destroy(second), b.stream_destroy(stream);
    vector<float> some(4);
    const uint64_t bytes = b.buffer_bytes(from);
    expect(b.download(from, bytes - 8, some.data(), 16, nullptr) == VQ_ERROR_SHAPE, "a range past the end");
    expect(b.download(from, UINT64_MAX - 4, some.data(), 16, nullptr) == VQ_ERROR_SHAPE, "an offset that overflows");
    expect(b.upload(to, bytes + 1, some.data(), 0, nullptr) == VQ_ERROR_SHAPE, "an offset past the end");
    expect(b.copy(to, 0, from, 8, bytes, nullptr) == VQ_ERROR_SHAPE, "a copy of too much");
  }
  expect(b.memory(context, &after) == VQ_OK && after.buffers == before.buffers && after.in_use == before.in_use,
         "figures after they are gone");
  vq_buffer* empty = nullptr;
  expect(b.buffer_create(context, 0, &empty) == VQ_OK && b.buffer_bytes(empty) == 0, "a buffer of no bytes");
  b.buffer_destroy(empty);
  vq_buffer* huge = nullptr;
  expect(b.buffer_create(context, uint64_t{1} << 50, &huge) == VQ_ERROR_MEMORY && huge == nullptr, "a petabyte");
  expect(string(b.last_error()).find("memory") != string::npos, "the text of the last error");
  double none = 0;
  expect(b.run(context, "MatMul", &none, 0, nullptr) == VQ_ERROR_NOT_IMPLEMENTED &&
             string(b.last_error()).find("MatMul") != string::npos,
         "a kernel of the training backend");
  vq_context* other = nullptr;
  expect(b.context_create(1000, &other) == VQ_ERROR_DEVICE && other == nullptr, "a device that is not there");
}

void DeviceCases::stopping() const {
  const Size s{500, 20, 4};
  DeviceArray<float> x(backend, context, draw(s.n * s.dim, 1)), codes(backend, context, draw(s.k * s.dim, 2));
  DeviceArray<int32_t> indices(backend, context, s.n);
  int asked = 0;
  vq_call call{nullptr, [](void* user) { return ++*static_cast<int*>(user) >= 3 ? 1 : 0; }, &asked};
  vq_kmeans_args a{};
  a.n = s.n, a.k = s.k, a.dim = s.dim, a.iterations = 25, a.init = VQ_INIT_RANDOM, a.tolerance = 0;
  a.x = x, a.centroids = codes, a.assignments = indices;
  expect(backend.kmeans(context, &a, &call) == VQ_ERROR_STOPPED && asked == 3, "k-means stops when it is told");
  call.stop = [](void*) { return 1; };
  const vq_nearest_args n{s.n, s.k, s.dim, VQ_L2, 0, x, codes, indices, nullptr};
  expect(backend.nearest(context, &n, &call) == VQ_ERROR_STOPPED, "nearest stops when it is told");
}

}  // namespace vq_test
