// Finite scalar and lookup-free quantization on tensor handles.
#include "vq/codes.h"
#include "vq/op.h"

namespace vq {
namespace {

// dim, bound, then the levels
FsqLevels fsq_levels(Args& args) {
  const int64_t dim = args.integer(), bound = args.integer();
  if (dim < 1 || dim > 31 || bound < 0 || bound > 1) fail(Error::kConfig, "sizes are out of range");
  std::vector<int64_t> levels;
  for (int64_t d = 0; d < dim; ++d) levels.push_back(args.integer());
  return FsqLevels(levels, static_cast<gpu::FsqBound>(bound));
}
int64_t count(Args& args) {
  const int64_t n = args.integer();
  if (n < 0 || n > (int64_t{1} << 40)) fail(Error::kShape, "a number of rows is out of range");
  return n;
}

}  // namespace

// Arguments: rows, the levels, z; quantized, indices.
VQ_OP(FsqEncode) {
  const int64_t n = count(args);
  const FsqLevels levels = fsq_levels(args);
  const float* z = args.tensor<float>(n * levels.dim());
  float* quantized = args.tensor<float>(n * levels.dim());
  fsq_encode(z, n, levels, quantized, args.tensor<int32_t>(n), {args.ctx.threads});
}

// Arguments: rows, the levels, z; bounded.
VQ_OP(FsqBound) {
  const int64_t n = count(args);
  const FsqLevels levels = fsq_levels(args);
  const float* z = args.tensor<float>(n * levels.dim());
  fsq_bound(z, n, levels, args.tensor<float>(n * levels.dim()), {args.ctx.threads});
}

// Arguments: rows, the levels, z, dy; dz.
VQ_OP(FsqGrad) {
  const int64_t n = count(args);
  const FsqLevels levels = fsq_levels(args);
  const float *z = args.tensor<float>(n * levels.dim()), *dy = args.tensor<float>(n * levels.dim());
  fsq_gradient(z, dy, n, levels, args.tensor<float>(n * levels.dim()), {args.ctx.threads});
}

// Arguments: rows, the levels, indices; values.
VQ_OP(FsqDecode) {
  const int64_t n = count(args);
  const FsqLevels levels = fsq_levels(args);
  const int32_t* indices = args.tensor<int32_t>(n);
  fsq_decode(indices, n, levels, args.tensor<float>(n * levels.dim()), {args.ctx.threads});
}

// Arguments: rows, bits, scale, z; quantized, indices.
VQ_OP(LfqEncode) {
  const int64_t n = count(args), bits = args.integer();
  const float scale = args.real();
  if (bits < 1 || bits > 31) fail(Error::kConfig, "bits are outside 1 to 31");
  const float* z = args.tensor<float>(n * bits);
  float* quantized = args.tensor<float>(n * bits);
  lfq_encode(z, n, bits, scale, quantized, args.tensor<int32_t>(n), {args.ctx.threads});
}

// Arguments: rows, bits, scale, indices; values.
VQ_OP(LfqDecode) {
  const int64_t n = count(args), bits = args.integer();
  const float scale = args.real();
  if (bits < 1 || bits > 31) fail(Error::kConfig, "bits are outside 1 to 31");
  const int32_t* indices = args.tensor<int32_t>(n);
  lfq_decode(indices, n, bits, scale, args.tensor<float>(n * bits), {args.ctx.threads});
}

}  // namespace vq
