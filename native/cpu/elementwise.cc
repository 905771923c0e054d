// Elementwise kernels.
#include "vq/op.h"
#include "vq/threads.h"

namespace vq {

VQ_OP(Fill) {
  const int64_t n = args.integer();
  const float value = args.real();
  float* out = args.tensor<float>(n);
  parallel_for(n, 1 << 16, args.ctx.threads, [=](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) out[i] = value;
  });
}

}  // namespace vq
