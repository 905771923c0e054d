// Rows of a table by number, and the gradient that goes back into them.
#include <algorithm>
#include <cstring>

#include "vq/op.h"
#include "vq/threads.h"

namespace vq {

// Answers −1, or the first position whose number is no row. Arguments: count, rows of the table, dim, ids, table, out.
VQ_OP(Embedding) {
  const int64_t n = args.integer(), rows = args.integer(), dim = args.integer();
  const int32_t* ids = args.tensor<int32_t>(n);
  const float* table = args.tensor<float>(rows * dim);
  float* out = args.tensor<float>(n * dim);
  for (int64_t i = 0; i < n; ++i)
    if (ids[i] < 0 || ids[i] >= rows) return args.answer(static_cast<double>(i));
  parallel_for(n, std::max<int64_t>(1, (1 << 14) / (dim + 1)), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i)
      if (dim > 0) std::memcpy(out + i * dim, table + ids[i] * dim, dim * sizeof(float));
  });
  args.answer(-1);
}

// Each thread owns columns and adds in ascending order of positions, so that the number of threads changes nothing.
// Arguments: count, rows of the table, dim, ids, dy, gradient of the table.
VQ_OP(EmbeddingGrad) {
  const int64_t n = args.integer(), rows = args.integer(), dim = args.integer();
  const int32_t* ids = args.tensor<int32_t>(n);
  const float* dy = args.tensor<float>(n * dim);
  float* out = args.tensor<float>(rows * dim);
  for (int64_t i = 0; i < n; ++i)
    if (ids[i] < 0 || ids[i] >= rows) fail(Error::kValue, "an id is no row of the table");
  parallel_for(rows * dim, 1 << 15, args.ctx.threads, [&](int64_t b, int64_t e) { std::fill(out + b, out + e, 0.0f); });
  const int64_t slices = (dim + 15) / 16;
  parallel_for(slices, std::max<int64_t>(1, (1 << 12) / (n + 1)), args.ctx.threads, [&](int64_t b, int64_t e) {
    const int64_t first = b * 16, width = std::min(dim, e * 16) - first;
    for (int64_t i = 0; i < n; ++i) {
      float* __restrict to = out + ids[i] * dim + first;
      const float* __restrict from = dy + i * dim + first;
      for (int64_t k = 0; k < width; ++k) to[k] += from[k];
    }
  });
}

}  // namespace vq
