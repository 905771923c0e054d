#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/op.h"
#include "vq/quantize.h"

namespace vq {

void ordered_linear(const float* x, int64_t n, int64_t in, const float* w, int64_t out, const float* bias, float* y,
                    const CallOptions& options) {
  if (n == 0 || out == 0) return;
  const QuantKernels& q = quant_kernels();
  // Some hundred thousand products to a part.
  const int64_t grain = std::max<int64_t>(12, (1 << 18) / std::max<int64_t>(1, in * out));
  parallel_for(n, grain, options.threads, [&](int64_t begin, int64_t end) {
    if (options.stop && options.stop->load()) return;
    q.linear(x + begin * in, end - begin, in, w, out, bias, y + begin * out);
  });
  if (options.stop && options.stop->load()) throw Stopped();
}

// x [n, in], w [in, out], bias [out] or -1; y [n, out]
VQ_OP(VqOrderedLinear) {
  const int64_t n = args.integer(), in = args.integer(), out = args.integer();
  if (n < 0 || in < 0 || out < 0) fail(Error::kShape, "sizes are out of range");
  const float *x = args.tensor<float>(n * in), *w = args.tensor<float>(in * out);
  const float* bias = args.optional<float>(out);
  ordered_linear(x, n, in, w, out, bias, args.tensor<float>(n * out), {args.ctx.threads});
}

}  // namespace vq
