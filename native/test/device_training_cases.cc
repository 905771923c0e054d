// What happens around a codebook in training: gradients against float64 and the CPU's bits, codes that begin anew.
#include <algorithm>
#include <cmath>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"
#include "vq/estimators.h"
#include "vq/quantize.h"

namespace vq_test {

using std::string;
using std::to_string;
using std::vector;

namespace {

double dot(const vector<double>& a, const vector<double>& b) {
  double s = 0;
  for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}
vector<double> scaled(vector<double> v, double by) {
  for (double& x : v) x *= by;
  return v;
}
vector<double> sum(vector<double> a, const vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// The published formulas in float64; empty where there is no direction.
vector<double> oracle(int estimator, const vector<double>& z, const vector<double>& q, const vector<double>& g) {
  if (estimator == VQ_STRAIGHT_THROUGH) return g;
  if (estimator == VQ_PROJECTION) {
    const vector<double> d = sum(q, scaled(z, -1));
    const double length = std::sqrt(dot(d, d));
    if (length < 1e-6) return g;
    const vector<double> u = scaled(d, 1 / length);
    return scaled(u, dot(u, g));
  }
  const double z_length = std::sqrt(dot(z, z)), q_length = std::sqrt(dot(q, q));
  if (z_length < 1e-6 || q_length < 1e-6) return g;
  const vector<double> e = scaled(z, 1 / z_length), u = scaled(q, 1 / q_length), m = sum(e, u);
  const double m_length = std::sqrt(dot(m, m));
  if (m_length < 1e-6) return g;
  const vector<double> r = scaled(m, 1 / m_length);
  return scaled(sum(sum(g, scaled(r, -2 * dot(r, g))), scaled(e, 2 * dot(u, g))), q_length / z_length);
}

vector<double> row_of(const vector<float>& x, int64_t row, int64_t dim) {
  return {x.begin() + row * dim, x.begin() + (row + 1) * dim};
}

}  // namespace

void DeviceCases::estimators() const {
  for (int64_t n : {0, 1, 17, large ? 100000 : 40})
    for (int64_t dim : {1, 2, 15, 16, 17, 64, 70}) {
      vector<float> z = draw(n * dim, 1), q = draw(n * dim, 2), g = draw(n * dim, 3);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t d = 0; d < dim; ++d) {
          float &a = z[i * dim + d], &b = q[i * dim + d];
          if (i % 8 == 1) b = a;                 // the code itself
          else if (i % 8 == 2) b = a * 1.0001f;  // near it
          else if (i % 8 == 3) a = 0;
          else if (i % 8 == 4) b = 0;
          else if (i % 8 == 5) b = -a;           // opposite: the sum has no direction
          else if (i % 8 == 6) b = 1000 * b;
        }
      for (int estimator : {VQ_STRAIGHT_THROUGH, VQ_ROTATION, VQ_PROJECTION}) {
        vector<float> want(n * dim);
        vq::estimator_gradient(static_cast<vq::gpu::Estimator>(estimator), z.data(), q.data(), g.data(), n, dim, want.data(), {threads});
        const string where = "estimator " + to_string(estimator) + " " + to_string(n) + " x " + to_string(dim);
        double worst = 0;
        for (int64_t i = 0; i < n; ++i) {
          const vector<double> exact = oracle(estimator, row_of(z, i, dim), row_of(q, i, dim), row_of(g, i, dim));
          const double scale = std::max(std::sqrt(dot(exact, exact)), std::sqrt(dot(row_of(g, i, dim), row_of(g, i, dim))));
          for (int64_t d = 0; d < dim; ++d) worst = std::max(worst, std::fabs(want[i * dim + d] - exact[d]) / (scale + 1e-30));
        }
        // q near z: float32 knows their difference to about 1e-3 of its length.
        expect(worst < (estimator == VQ_PROJECTION ? 4e-3 : 3e-5), where + ": " + to_string(worst) + " off float64");
        for (bool in_place : {false, true}) {
          DeviceArray<float> dz(backend, context, z), dq(backend, context, q), dg(backend, context, g), out(backend, context, n * dim);
          DeviceArray<float>& to = in_place ? dg : out;
          const vq_estimator_args a{n, dim, estimator, 0, dz, dq, dg, to};
          expect(backend.estimator_gradient(context, &a, nullptr) == VQ_OK, where + ": " + backend.last_error());
          expect(same_bits(to.values(), want) && to.intact(), where + ": other bits than the CPU");
        }
      }
    }
  DeviceArray<float> some(backend, context, draw(10, 1));
  vq_estimator_args a{5, 2, 3, 0, some, some, some, some};
  expect(backend.estimator_gradient(context, &a, nullptr) == VQ_ERROR_CONFIG, "an unknown estimator");
  a.estimator = VQ_ROTATION, a.n = 1000;
  expect(backend.estimator_gradient(context, &a, nullptr) == VQ_ERROR_SHAPE, "rows that the buffers lack");
}

void DeviceCases::codes_begin_anew() const {
  const int64_t n = 30, k = 9, dim = 5;
  const vector<float> x = draw(n * dim, 1), codebook = draw(k * dim, 2), sums = draw(k * dim, 3), counts = draw(k, 4);
  const auto call = [&](const vector<int32_t>& codes, const vector<int32_t>& rows, bool averages, Failure expected) {
    vector<float> book = codebook, n_k = counts, s_k = sums;
    for (size_t i = 0; i < codes.size() && expected.code == VQ_OK; ++i) {
      n_k[codes[i]] = 1.5f;
      for (int64_t d = 0; d < dim; ++d) {
        book[codes[i] * dim + d] = x[rows[i] * dim + d];
        if (averages) s_k[codes[i] * dim + d] = 1.5f * x[rows[i] * dim + d];
      }
    }
    DeviceArray<float> dx(backend, context, x), db(backend, context, codebook), dn(backend, context, counts), ds(backend, context, sums);
    DeviceArray<int32_t> dc(backend, context, codes), dr(backend, context, rows);
    const vq_replace_args a{n, k, dim, static_cast<int64_t>(codes.size()), 1.5f, 0, dx, dc, dr, db, dn, averages ? static_cast<vq_buffer*>(ds) : nullptr};
    const Failure got = failure_of(backend, backend.replace_rows(context, &a, nullptr));
    expect(got == expected, "new codes: '" + got.text + "', expected '" + expected.text + "'");
    expect(same_bits(db.values(), book) && same_bits(dn.values(), n_k) && same_bits(ds.values(), s_k), "other new codes");
    expect(db.intact() && dn.intact() && ds.intact(), "new codes: wrote past an end");
  };
  call({0, 4, 8}, {29, 0, 0}, true, {});
  call({7}, {3}, false, {});
  call({}, {}, true, {});
  call({1, 9}, {3, 4}, true, {VQ_ERROR_VALUE, "code 9 is outside the 9 codes"});
  call({1, 2}, {30, -1}, true, {VQ_ERROR_VALUE, "row 30 is outside the 30 rows"});
}

}  // namespace vq_test
