// k-means++: each next centre is drawn with probability proportional to weight times squared distance to the centres so
// far. Source: Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
#include "cpu/kmeans_start.h"

#include <algorithm>
#include <limits>

#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"

namespace vq {

void start_random(const float* x, int64_t n, int64_t dim, int64_t k, const float* weights, Philox& random,
                  float* centroids) {
  Scratch<int32_t> rows(n);
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i)
    if (!weights || weights[i] > 0) rows[count++] = static_cast<int32_t>(i);
  for (int64_t c = 0; c < k; ++c) {
    std::swap(rows[c], rows[c + random.below(count - c)]);
    std::copy_n(x + static_cast<int64_t>(rows[c]) * dim, dim, centroids + c * dim);
  }
}

void start_plus_plus(const float* x, int64_t n, int64_t dim, int64_t k, const float* weights, Philox& random,
                     float* centroids, const CallOptions& call) {
  const QuantKernels& q = quant_kernels();
  constexpr int64_t kBlock = 512;  // sums are taken per block and then over blocks, whoever computed them
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  Scratch<float> nearest(n);
  Scratch<double> mass(blocks);
  Scratch<uint8_t> taken(n);
  std::fill_n(nearest.data(), n, std::numeric_limits<float>::infinity());
  std::fill_n(taken.data(), n, uint8_t{0});
  const auto weight = [&](int64_t i) { return weights ? static_cast<double>(weights[i]) : 1.0; };
  for (int64_t c = 0; c < k; ++c) {
    if (call.stop && call.stop->load(std::memory_order_relaxed)) throw Stopped();
    int64_t row = -1;
    if (c == 0) {
      double total = 0;
      for (int64_t i = 0; i < n; ++i) total += weight(i);
      double left = random.uniform() * total;
      for (int64_t i = 0; i < n && (row < 0 || left >= 0); ++i) {
        if (!(weight(i) > 0)) continue;
        row = i;
        left -= weight(i);
      }
    } else {
      double total = 0;
      for (int64_t b = 0; b < blocks; ++b) total += mass[b];
      double left = random.uniform() * total;
      if (total > 0) {
        int64_t b = 0;
        for (int64_t i = 0; i < blocks; ++i) {
          if (!(mass[i] > 0)) continue;
          b = i;
          if (left < mass[i]) break;
          left -= mass[i];
        }
        for (int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) {
          const double m = weight(i) * nearest[i];
          if (!(m > 0)) continue;
          row = i;
          if (left < m) break;
          left -= m;
        }
      } else {  // every row lies on a centre already: any untaken row will do
        int64_t free = 0;
        for (int64_t i = 0; i < n; ++i) free += !taken[i] && weight(i) > 0;
        int64_t skip = random.below(free);
        for (int64_t i = 0; i < n; ++i)
          if (!taken[i] && weight(i) > 0 && skip-- == 0) row = i;
      }
    }
    taken[row] = 1;
    const float* centre = x + row * dim;
    std::copy_n(centre, dim, centroids + c * dim);
    parallel_for(blocks, 8, call.threads, [&](int64_t first, int64_t last) {
      const float* rows[kBlock];
      float squared[kBlock];
      for (int64_t b = first; b < last; ++b) {
        const int64_t begin = b * kBlock, count = std::min(kBlock, n - begin);
        for (int64_t i = 0; i < count; ++i) rows[i] = x + (begin + i) * dim;
        q.squared_to(rows, centre, count, dim, squared);
        double sum = 0;
        for (int64_t i = 0; i < count; ++i) {
          nearest[begin + i] = std::min(nearest[begin + i], squared[i]);
          sum += weight(begin + i) * nearest[begin + i];
        }
        mass[b] = sum;
      }
    });
  }
}

}  // namespace vq
