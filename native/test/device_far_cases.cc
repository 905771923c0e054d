// Rows so many that an element's number does not fit 32 bits, on a GPU: the same rows again and again, so that the reference
// needs them once. Small integers, whose sums are exact in any order.
#include <cmath>
#include <cstdio>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"
#include "vq/quantize.h"

namespace vq_test {

void DeviceCases::far_ends() const {
  const int64_t dim = large ? 64 : 24, period = large ? int64_t{1} << 17 : 500, times = large ? 260 : 3, k = large ? 600 : 40;
  const int64_t n = period * times;  // n dim is above 2^31 where large
  vq_memory memory{};
  expect(backend.memory(context, &memory) == VQ_OK, "memory figures");
  if (memory.free / 2 < static_cast<uint64_t>(n * dim) * sizeof(float)) {
    std::printf("     far_ends: skipped, %d GB of device memory are free and 18 needed\n", static_cast<int>(memory.free >> 30));
    return;
  }
  std::vector<float> x = draw(period * dim, 40), codes = draw(k * dim, 41);
  for (auto* values : {&x, &codes})
    for (float& v : *values) v = std::round(v);
  const auto again = [&](vq_buffer* b, uint64_t bytes) {
    for (int64_t i = 1; i < times; ++i)
      expect(backend.copy(b, i * bytes, b, 0, bytes, nullptr) == VQ_OK, "copies");
  };
  vq_buffer* rows = nullptr;
  if (backend.buffer_create(context, static_cast<uint64_t>(n * dim) * sizeof(float), &rows) != VQ_OK) return expect(false, "room for rows");
  expect(backend.upload(rows, 0, x.data(), x.size() * sizeof(float), nullptr) == VQ_OK, "rows");
  again(rows, x.size() * sizeof(float));

  std::vector<int32_t> indices(period);
  vq::nearest(x.data(), period, dim, codes.data(), k, vq::Metric::kL2, indices.data(), nullptr, {threads});
  DeviceArray<float> book(backend, context, codes);
  {
    DeviceArray<int32_t> found(backend, context, n);
    for (int route : {VQ_ROUTE_FULL, VQ_ROUTE_FILTER, VQ_ROUTE_FILTER_MMA}) {
      const vq_nearest_args a{n, k, dim, VQ_L2, route, rows, book, found, nullptr};
      expect(backend.nearest(context, &a, nullptr) == VQ_OK, std::string("far rows: ") + backend.last_error());
      const std::vector<int32_t> all = found.values();
      int64_t wrong = 0;
      for (int64_t i = 0; i < n; ++i) wrong += all[i] != indices[i % period];
      expect(wrong == 0 && found.intact(), "far rows, route " + std::to_string(route) + ": " + std::to_string(wrong) + " other indices");
    }
    // With a decay of 0 the counts and sums are the batch's own.
    DeviceArray<float> ones(backend, context, std::vector<float>(k, 1)), counts(backend, context, k), sums(backend, context, k * dim),
        moved(backend, context, k * dim);
    const vq_ema_args a{n, k, dim, 0, 1e-5, rows, found, book, ones, book, moved, counts, sums};
    expect(backend.ema_update(context, &a, nullptr) == VQ_OK, std::string("far rows: ") + backend.last_error());
    std::vector<float> want_counts(k, 0), want_sums(k * dim, 0);
    for (int64_t i = 0; i < period; ++i) {
      want_counts[indices[i]] += static_cast<float>(times);
      for (int64_t d = 0; d < dim; ++d) want_sums[indices[i] * dim + d] += static_cast<float>(times) * x[i * dim + d];
    }
    const std::vector<float> got = sums.values();
    bool same = true;  // but for the sign of a zero
    for (int64_t i = 0; i < k * dim; ++i) same = same && got[i] == want_sums[i];
    expect(same && same_bits(counts.values(), want_counts), "averages of far rows");
  }
  backend.buffer_destroy(rows);
}

}  // namespace vq_test
