// A linear layer, y = activation(x·W + b): products of blocks of rows, each finished while it is in cache.
#include <algorithm>

#include "cpu/activation.h"
#include "vq/convolution.h"
#include "vq/op.h"
#include "vq/threads.h"

namespace vq {

// Arguments: activation, rows, inputs, outputs, x, weight [inputs, outputs], bias or -1, z (x·W + b) or -1, y.
VQ_OP(Linear) {
  const auto kind = static_cast<ActivationKind>(args.integer());
  if (kind < ActivationKind::kLinear || kind > ActivationKind::kSigmoid) fail(Error::kValue, "no such activation");
  const int64_t rows = args.integer(), in = args.integer(), out = args.integer();
  const float *x = args.tensor<float>(rows * in), *w = args.tensor<float>(in * out);
  const float* bias = args.optional<float>(out);
  float* sums = args.optional<float>(rows * out);
  float* y = args.tensor<float>(rows * out);
  if (rows * out == 0) return;
  float* z = sums ? sums : y;
  constexpr int64_t kMost = 512;  // the same whatever the number of threads is: a product's bits may depend on its rows
  if (in == 0) std::fill(z, z + rows * out, 0.0f);
  if (rows < 2 * kMost) {
    if (in > 0) matrix_product(args.ctx, false, false, rows, out, in, x, w, z);
    parallel_for(rows, std::max<int64_t>(1, (1 << 13) / out), args.ctx.threads, [&](int64_t b, int64_t e) {
      apply_bias_and_activation(kind, bias, e - b, out, z + b * out, y + b * out);
    });
    return;
  }
  // Blocks of one size, and an even number of them, so that no thread waits for long.
  const int64_t blocks = (rows + 2 * kMost - 1) / (2 * kMost) * 2, block = (rows + blocks - 1) / blocks;
  parallel_for(blocks, 1, args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; ++k) {
      const int64_t first = k * block, n = std::min(block, rows - first);
      if (in > 0) matrix_product_alone(false, false, n, out, in, x + first * in, w, 0.0f, z + first * out);
      apply_bias_and_activation(kind, bias, n, out, z + first * out, y + first * out);
    }
  });
}

}  // namespace vq
