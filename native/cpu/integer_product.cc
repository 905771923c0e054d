// The matrix product of int32 tensors; sums wrap, as every integer kernel's do.
#include <algorithm>

#include "vq/op.h"
#include "vq/scratch.h"
#include "vq/threads.h"

namespace vq {

// Arguments: batch, batch of a, batch of b (1 is broadcast), m, n, k, transpose a, transpose b, a, b, out.
VQ_OP(MatMulInt32) {
  const int64_t batch = args.integer(), batch_a = args.integer(), batch_b = args.integer();
  const int64_t m = args.integer(), n = args.integer(), k = args.integer();
  const bool ta = args.flag(), tb = args.flag();
  check((batch_a == batch || batch_a == 1) && (batch_b == batch || batch_b == 1), "batches do not broadcast");
  const int32_t *a = args.tensor<int32_t>(batch_a * m * k), *b = args.tensor<int32_t>(batch_b * k * n);
  int32_t* out = args.tensor<int32_t>(batch * m * n);
  parallel_for(batch * m, std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, n * k)), args.ctx.threads, [&](int64_t begin, int64_t end) {
    Scratch<uint32_t> row(n);
    for (int64_t r = begin; r < end; ++r) {
      const int32_t* pa = a + (batch_a == 1 ? 0 : r / m * m * k) + (ta ? r % m : r % m * k);
      const int32_t* pb = b + (batch_b == 1 ? 0 : r / m * k * n);
      std::fill(row.data(), row.data() + n, 0u);
      for (int64_t i = 0; i < k; ++i) {
        const uint32_t v = static_cast<uint32_t>(pa[ta ? i * m : i]);
        if (v == 0) continue;
        for (int64_t j = 0; j < n; ++j) row[j] += v * static_cast<uint32_t>(pb[tb ? j * k + i : i * n + j]);
      }
      for (int64_t j = 0; j < n; ++j) out[r * n + j] = static_cast<int32_t>(row[j]);
    }
  });
}

}  // namespace vq
