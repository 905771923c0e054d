// Nearest codes of rows in host memory: the reference's bits, as a whole and in blocks.
#include <cmath>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"
#include "vq/quantize.h"

namespace vq_test {

void DeviceCases::nearest_blocks() const {
  using std::to_string;
  const int64_t n = large ? 200000 : 1300, k = 70, dim = 19;
  const std::vector<float> codes = draw(k * dim, 2);
  DeviceArray<float> dc(backend, context, codes);
  for (bool poisoned : {false, true}) {
    std::vector<float> x = draw(n * dim, 1);
    if (poisoned) x[1200 * dim + 4] = x[1100 * dim + 3] = std::nanf("");
    for (int metric : {VQ_L2, VQ_COSINE, VQ_DOT}) {
      std::vector<int32_t> want(n), got(n);
      std::vector<float> near(n), found(n);
      const Failure failed = failure_of([&] {
        vq::nearest(x.data(), n, dim, codes.data(), k, static_cast<vq::Metric>(metric), want.data(), near.data(), {threads});
      });
      for (int block : {0, 1, 1024})
        for (bool with : {true, false}) {
          vq_nearest_args a{};
          a.n = n, a.k = k, a.dim = dim, a.metric = metric, a.codebook = dc, a.block_rows = block;
          a.host_x = x.data(), a.host_indices = got.data(), a.host_distances = with ? found.data() : nullptr;
          const Failure answer = failure_of(backend, backend.nearest(context, &a, nullptr));
          const std::string where = "nearest from the host, metric " + to_string(metric) + ", blocks of " + to_string(block);
          expect(answer == failed, where + ": '" + answer.text + "', expected '" + failed.text + "'");
          if (failed.code != VQ_OK) continue;
          expect(same_bits(got, want), where + ": other indices");
          if (with) expect(same_bits(found, near), where + ": other distances");
        }
    }
  }
  vq_nearest_args a{};
  const float nothing = 0;
  a.k = k, a.dim = dim, a.codebook = dc, a.host_x = &nothing;
  expect(backend.nearest(context, &a, nullptr) == VQ_OK, "no rows of the host");
  a.n = 5;
  expect(backend.nearest(context, &a, nullptr) == VQ_ERROR_SHAPE, "no place for the indices of the host");
}

}  // namespace vq_test
