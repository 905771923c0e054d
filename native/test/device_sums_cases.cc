// Sums of codes that own more rows than one segment: the order that cuda/kernels/code_rows.h states, and its bound.
#include <algorithm>
#include <cmath>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"
#include "vq/quantize.h"

namespace vq_test {
namespace {

using std::string;
using std::vector;

constexpr int64_t kSegment = 4096;  // as the interface promises; not taken from the kernels

struct Sums {
  vector<float> stated;          // float32, segment by segment
  vector<double> exact, of_size; // float64, and the sum of the absolute values
  vector<int64_t> rows;
};

Sums reference(const vector<float>& x, const vector<int32_t>& indices, int64_t k, int64_t dim) {
  const int64_t n = static_cast<int64_t>(indices.size());
  Sums r{vector<float>(k * dim), vector<double>(k * dim), vector<double>(k * dim), vector<int64_t>(k)};
  vector<float> segment(k * dim);
  const auto close = [&](int64_t c) {
    const bool first = r.rows[c] <= kSegment;
    for (int64_t i = c * dim; i < (c + 1) * dim; ++i) r.stated[i] = first ? segment[i] : r.stated[i] + segment[i], segment[i] = 0;
  };
  for (int64_t i = 0; i < n; ++i) {
    const int32_t c = indices[i];
    if (c < 0) continue;
    for (int64_t d = 0; d < dim; ++d) {
      const float v = x[i * dim + d];
      segment[c * dim + d] += v;
      r.exact[c * dim + d] += v, r.of_size[c * dim + d] += std::fabs(static_cast<double>(v));
    }
    if (++r.rows[c] % kSegment == 0) close(c);
  }
  for (int64_t c = 0; c < k; ++c)
    if (r.rows[c] % kSegment) close(c);
  return r;
}

}  // namespace

void DeviceCases::ema_skewed() const {
  vq::Philox g(3);
  // How many rows each code owns, around the ends of segments; rows of all codes lie mixed.
  vector<vector<int64_t>> owned = {{9000, 1, 0, 70}, {4096, 4095, 4097, 0, 1}, {0, 8192, 300}, {1, 1, 12289, 0, 0, 0, 5}};
  owned.push_back(vector<int64_t>(2000));  // a thread per rest
  owned.back()[7] = 9000;
  if (large) owned.insert(owned.end(), {{900000, 50000, 4096, 45904}, {2000000}, {10, 0, 700001, 3, 3}});
  for (const vector<int64_t>& rows : owned)
    for (int64_t dim : {1, 7, 33, 64}) {
      const int64_t k = static_cast<int64_t>(rows.size());
      vector<int32_t> indices(40, -1);
      for (int64_t c = 0; c < k; ++c) indices.insert(indices.end(), rows[c], static_cast<int32_t>(c));
      const int64_t n = static_cast<int64_t>(indices.size());
      for (int64_t i = n - 1; i > 0; --i) std::swap(indices[i], indices[g.below(i + 1)]);
      const vector<float> x = draw(n * dim, 100 + dim), codebook = draw(k * dim, 6), ones(k, 1.0f);
      const Sums want = reference(x, indices, k, dim);
      vector<float> counts(k), sums(k * dim);
      vq::code_sums(x.data(), indices.data(), n, dim, k, counts.data(), sums.data(), {threads});

      const vq_backend& b = backend;
      DeviceArray<float> dx(b, context, x), book(b, context, codebook), dn(b, context, ones), ds(b, context, codebook);
      DeviceArray<int32_t> di(b, context, indices);
      DeviceArray<float> book_out(b, context, codebook.size()), n_out(b, context, ones.size()), s_out(b, context, codebook.size());
      // With decay 0 the averages are the batch's own sums.
      const vq_ema_args args{n, k, dim, 0, 1e-5, dx, di, book, dn, ds, book_out, n_out, s_out};
      const string where = "skewed sums, " + std::to_string(n) + " x " + std::to_string(k) + " x " + std::to_string(dim);
      expect(b.ema_update(context, &args, nullptr) == VQ_OK, where + ": " + b.last_error());
      const vector<float> got = s_out.values();
      expect(same_bits(got, want.stated), where + ": another order than stated");
      expect(same_bits(n_out.values(), counts), where + ": other counts");
      bool near = true, same = true;
      for (int64_t i = 0; i < k * dim; ++i) {
        const double u = 0x1p-24, m = static_cast<double>(kSegment + (want.rows[i / dim] + kSegment - 1) / kSegment);
        near = near && std::fabs(got[i] - want.exact[i]) <= m * u / (1 - m * u) * want.of_size[i];
        same = same && (want.rows[i / dim] > kSegment || got[i] == sums[i]);
      }
      expect(near, where + ": farther from float64 than the bound");
      expect(same, where + ": codes of one segment have not the reference's bits");
    }
}

}  // namespace vq_test
