// Quantization on tensor handles.
#include "vq/op.h"
#include "vq/quantize.h"

namespace vq {

// z [n, dim], codebook [k, dim], indices [n]
VQ_OP(VqNearestCode) {
  const int64_t n = args.integer(), k = args.integer(), dim = args.integer();
  const int64_t metric = args.integer();
  if (n < 0 || k < 1 || dim < 1 || metric < 0 || metric > 2) fail(Error::kShape, "sizes are out of range");
  const float* z = args.tensor<float>(n * dim);
  const float* codebook = args.tensor<float>(k * dim);
  int32_t* indices = args.tensor<int32_t>(n);
  nearest(z, n, dim, codebook, k, static_cast<Metric>(metric), indices, nullptr, {args.ctx.threads});
}

// vectors [n, dim], indices [n]; codebook [k, dim], counts [k], sums [k, dim], then where their new values go (may be
// the same tensors).
VQ_OP(VqEmaUpdate) {
  const int64_t n = args.integer(), k = args.integer(), dim = args.integer();
  if (n < 0 || k < 1 || dim < 1) fail(Error::kShape, "sizes are out of range");
  EmaOptions ema;
  ema.decay = args.number();
  ema.epsilon = args.number();
  const float* vectors = args.tensor<float>(n * dim);
  const int32_t* indices = args.tensor<int32_t>(n);
  const float* codebook = args.tensor<float>(k * dim);
  const float* counts = args.tensor<float>(k);
  const float* sums = args.tensor<float>(k * dim);
  float* codebook_out = args.tensor<float>(k * dim);
  float* counts_out = args.tensor<float>(k);
  float* sums_out = args.tensor<float>(k * dim);
  ema_update(vectors, indices, n, dim, k, codebook, counts, sums, codebook_out, counts_out, sums_out, ema,
             {args.ctx.threads});
}

// estimator, n, dim; z, q, the gradient of q, that of z
VQ_OP(VqEstimatorGradient) {
  const int64_t kind = args.integer(), n = args.integer(), dim = args.integer();
  if (kind < 0 || kind > 2) fail(Error::kConfig, "estimator is out of range");
  if (n < 0 || dim < 1) fail(Error::kShape, "sizes are out of range");
  const float *z = args.tensor<float>(n * dim), *q = args.tensor<float>(n * dim), *g = args.tensor<float>(n * dim);
  float* out = args.tensor<float>(n * dim);
  estimator_gradient(static_cast<gpu::Estimator>(kind), z, q, g, n, dim, out, {args.ctx.threads});
}

}  // namespace vq
