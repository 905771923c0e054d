// Nearest codes through the tensor cores against the CPU's kernels: the cases that every device runs.
#include <algorithm>
#include <cmath>
#include <limits>

#include "device_buffers.h"
#include "device_cases.h"
#include "vq/error.h"
#include "vq/philox.h"
#include "vq/quantize.h"

namespace vq_test {
namespace {

using std::string;
using std::to_string;
using std::vector;

vector<float> normal(size_t n, uint64_t seed) {
  vq::Philox g(seed);
  vector<float> v(n);
  for (float& x : v) x = static_cast<float>(g.normal());
  return v;
}

struct Problem {
  int64_t n, k, dim;
  vector<float> x, codes;
  Problem(int64_t n, int64_t k, int64_t dim, uint64_t seed)
      : n(n), k(k), dim(dim), x(normal(n * dim, 2 * seed)), codes(normal(k * dim, 2 * seed + 1)) {}
  float* row(int64_t i) { return x.data() + i * dim; }
  float* code(int64_t i) { return codes.data() + i * dim; }
};

void compare(const DeviceCases& t, const Problem& p, const string& what) {
  static const int codes[] = {VQ_ERROR_SHAPE, VQ_ERROR_CONFIG, VQ_ERROR_DEVICE, VQ_ERROR_MEMORY, VQ_ERROR_VALUE};
  const vq_backend& b = t.backend;
  DeviceArray<float> x(b, t.context, p.x), book(b, t.context, p.codes), distances(b, t.context, p.n);
  for (int metric : {VQ_L2, VQ_COSINE, VQ_DOT}) {
    const string where = what + " " + to_string(p.n) + " x " + to_string(p.k) + " x " + to_string(p.dim) + " metric " + to_string(metric);
    vector<int32_t> indices(p.n);
    vector<float> wanted(p.n);
    int code = VQ_OK;
    string words;
    try {
      vq::nearest(p.x.data(), p.n, p.dim, p.codes.data(), p.k, static_cast<vq::Metric>(metric), indices.data(), wanted.data(),
                  {t.threads});
    } catch (const vq::Error& e) {
      code = codes[e.code], words = e.what();
    }
    for (int way = 0; way < (t.large ? 3 : 2); ++way) {
      const bool with = way != 1;
      const int route = way < 2 ? VQ_ROUTE_FILTER : VQ_ROUTE_FILTER_MMA;
      DeviceArray<int32_t> found(b, t.context, p.n);
      const vq_nearest_args args{p.n, p.k, p.dim, metric, route, x, book, found, with ? static_cast<vq_buffer*>(distances) : nullptr};
      const int got = b.nearest(t.context, &args, nullptr);
      const string said = got == VQ_OK ? "" : b.last_error();
      t.expect(got == code && said == words, where + ": '" + said + "', expected '" + words + "'");
      t.expect(found.intact() && distances.intact(), where + ": wrote past an end");
      if (code != VQ_OK || got != VQ_OK) continue;
      t.expect(same_bits(found.values(), indices), where + ": other indices");
      if (with) t.expect(same_bits(distances.values(), wanted), where + ": other distances");
    }
  }
}

}  // namespace

void DeviceCases::filter_sizes() const {
  // Around the edges of every tile: 128 rows, 128 codes, 64 and 16 elements; few rows and many codes.
  const int64_t sizes[][3] = {{0, 3, 4},    {1, 1, 1},    {7, 5, 3},     {128, 128, 64}, {129, 129, 65}, {127, 127, 63}, {130, 257, 17},
                              {64, 200, 48}, {5, 1500, 33}, {260, 300, 16}, {3, 140, 520},  {515, 130, 9}};
  uint64_t seed = 900;
  for (const auto& s : sizes) compare(*this, Problem(s[0], s[1], s[2], ++seed), "filter");
  vq::Philox g(901);
  for (int i = 0; i < (large ? 40 : 4); ++i) {
    const int64_t n = 1 + g.below(large ? 5000 : 200), k = 1 + g.below(large ? 3000 : 400), dim = 1 + g.below(large ? 600 : 90);
    compare(*this, Problem(n, k, dim, ++seed), "filter");
  }
  if (!large) return;
  compare(*this, Problem(100000, 1024, 64, ++seed), "filter");
  compare(*this, Problem(300, 1000000, 32, ++seed), "filter");
  compare(*this, Problem(70, 5000, 4096, ++seed), "filter");
  compare(*this, Problem(400000, 700, 40, ++seed), "filter");  // more than one launch
}

void DeviceCases::filter_hard_data() const {
  uint64_t seed = 1000;
  for (int kind = 0; kind < 15; ++kind) {
    Problem p(kind % 2 ? 140 : 70, kind % 3 ? 270 : 150, kind % 2 ? 24 : 80, ++seed);
    const vector<float> noise = normal(p.codes.size(), ++seed);
    const int64_t all = p.k * p.dim;
    switch (kind) {
      case 0:  // codes that differ in their last bits: nothing to tell them apart in bfloat16
        for (int64_t i = 0; i < all; ++i) p.codes[i] = p.codes[i % p.dim] * (1 + 1e-7f * std::round(noise[i]));
        break;
      case 1:  // every code again and again, fewer times than a list is long and more
        for (int64_t i = 0; i < all; ++i) p.codes[i] = p.codes[i % (7 * p.dim)];
        break;
      case 2:
        for (int64_t i = 0; i < all; ++i) p.codes[i] = p.codes[i % (2 * p.dim)];
        break;
      case 3:  // some codes within bfloat16 of each row
        for (int64_t i = 0; i < all; ++i)
          if (i / p.dim % 5) p.codes[i] = p.codes[i % (5 * p.dim)] * (1 + 1e-3f * noise[i]);
        for (int64_t i = 0; i < p.n; ++i) std::copy_n(p.code(i % 5), p.dim, p.row(i));
        break;
      case 4:  // far from the origin
        for (float& v : p.x) v = 1000 + 1e-2f * v;
        for (float& v : p.codes) v = 1000 + 1e-2f * v;
        break;
      case 5:  // an outlier among codes and rows
        for (int64_t d = 0; d < p.dim; ++d) p.code(0)[d] *= 1e6f, p.row(0)[d] *= 1e6f;
        break;
      case 6:  // denormal products, denormal vectors
        for (float& v : p.x) v *= 1e-38f;
        for (float& v : p.codes) v *= 1e-38f;
        break;
      case 7:
        for (float& v : p.x) v *= 1e-42f;
        break;
      case 8:  // squares near the end of float32, and beyond it
        for (int64_t i = 0; i < all; ++i) p.codes[i] *= i < all / 2 ? 1e17f : 1e19f;
        break;
      case 9:  // rows from every scale
        for (int64_t i = 0; i < p.n * p.dim; ++i) p.x[i] *= std::ldexp(1.0f, static_cast<int>(i / p.dim % 40) * 3 - 60);
        break;
      case 10:  // codes from every scale
        for (int64_t i = 0; i < all; ++i) p.codes[i] *= std::ldexp(1.0f, static_cast<int>(i / p.dim % 40) * 3 - 60);
        break;
      case 11:  // zeros of both signs
        for (int64_t i = 0; i < p.n * p.dim; ++i) p.x[i] = i / p.dim % 3 == 0 ? 0.0f : -0.0f * p.x[i];
        for (int64_t i = 0; i < all; ++i) p.codes[i] = i / p.dim % 2 == 0 ? p.codes[i] : -0.0f;
        break;
      case 12:  // exact ties on a grid
        for (float& v : p.codes) v = std::round(v);
        for (float& v : p.x) v = std::round(v) / 2;
        break;
      case 13:  // sorted codes: each better than those before
        for (int64_t i = 0; i < all; ++i) p.codes[i] = static_cast<float>(i / p.dim);
        for (float& v : p.x) v = 1000;
        break;
      default:  // rows that are codes
        for (int64_t i = 0; i < p.n; ++i) std::copy_n(p.code(i * 7 % p.k), p.dim, p.row(i));
    }
    compare(*this, p, "filter, hard data " + to_string(kind));
  }
}

// Roundings to bfloat16 that all err to one side: row r and code 0 are all a, just below the middle between two bfloat16, the
// other codes come out larger than they are and are in truth a little less alike. Code 0 is the last choice of the filter.
void DeviceCases::filter_worst_case() const {
  for (int64_t dim : {16, 64, 250}) {
    const Problem p = [&] {
      Problem worst(20, 256, dim, 1);
      const float step = 0x1p-14f, a = 1 + 0x1p-8f - step, up = 1 + 0x1p-8f + step;  // a rounds to 1, up to 1 + 2^-7
      for (int64_t i = 0; i < worst.n * dim; ++i) worst.x[i] = std::ldexp(a, static_cast<int>(i / dim % 5));
      for (int64_t k = 0; k < worst.k; ++k)
        for (int64_t d = 0; d < dim; ++d) {
          const float e = k < 8 ? a : d % 2 ? up : a - 4 * step;
          worst.code(k)[d] = (k / 4 % 2 ? -e : e) * (k < 40 ? 1 : d % 2 ? 0.5f : -0.5f);  // few rivals, and the centre is 0
        }
      return worst;
    }();
    compare(*this, p, "filter, worst case");
  }
}

void DeviceCases::filter_failures() const {
  const float inf = std::numeric_limits<float>::infinity();
  for (float poison : {std::nanf(""), inf, -inf, 1e38f, 3e38f, 3.4e38f})
    for (int where = 0; where < 3; ++where) {
      Problem p(140, 30, 6, 7);
      if (where < 2)
        for (int64_t row : {133, 17, 90}) p.row(row)[where * 5] = poison;
      else p.code(22)[3] = p.code(9)[3] = poison;
      compare(*this, p, "filter, poisoned");
    }
  DeviceArray<float> x(backend, context, 10), codes(backend, context, 10);
  DeviceArray<int32_t> indices(backend, context, 10);
  for (int route : {-1, 4}) {
    const vq_nearest_args args{5, 5, 2, VQ_L2, route, x, codes, indices, nullptr};
    expect(backend.nearest(context, &args, nullptr) == VQ_ERROR_CONFIG, "an unknown route");
  }
}

}  // namespace vq_test
