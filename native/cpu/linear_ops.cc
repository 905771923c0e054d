// Convolution and matrix product as kernels of the op table.
#include <algorithm>
#include <cmath>
#include <vector>

#include "vq/convolution.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/window.h"

namespace vq {
namespace {

// Sizes that could overflow, or divide by zero, are errors.
Convolution checked(const Convolution& s) {
  constexpr int64_t kMost = int64_t{1} << 31;
  for (int64_t step : {s.stride_d, s.stride_h, s.stride_w, s.dilation_d, s.dilation_h, s.dilation_w})
    check(step >= 1 && step <= kMost, "strides and dilations start at 1");
  for (int64_t pad : {s.pad_front, s.pad_back, s.pad_top, s.pad_bottom, s.pad_left, s.pad_right})
    check(pad >= -kMost && pad <= kMost, "padding is out of range");
  for (int64_t size : {s.in_d, s.in_h, s.in_w, s.out_d, s.out_h, s.out_w, s.kernel_d, s.kernel_h, s.kernel_w, s.in_c, s.out_c})
    check(size >= 0 && size <= kMost, "a size is out of range");
  checked_product({s.batch, s.in_d, s.in_h, s.in_w, s.in_c});
  checked_product({s.batch, s.out_d, s.out_h, s.out_w, s.out_c});
  checked_product({s.kernel_d, s.kernel_h, s.kernel_w, s.in_c, s.out_c});
  return s;
}

// batch, in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w,
// pad_top, pad_bottom, pad_left, pad_right
Convolution convolution(Args& args) {
  Convolution s;
  for (int64_t* field : {&s.batch, &s.in_h, &s.in_w, &s.in_c, &s.out_h, &s.out_w, &s.out_c, &s.kernel_h, &s.kernel_w,
                         &s.stride_h, &s.stride_w, &s.dilation_h, &s.dilation_w, &s.pad_top, &s.pad_bottom, &s.pad_left,
                         &s.pad_right})
    *field = args.integer();
  return checked(s);
}

// The same for three spatial axes: batch, channels in and out, then for depth, height and width: in, out, kernel, stride,
// dilation, padding before and after.
Convolution convolution_3d(Args& args) {
  Convolution s;
  s.planar = false;
  for (int64_t* field : {&s.batch, &s.in_c, &s.out_c, &s.in_d, &s.out_d, &s.kernel_d, &s.stride_d, &s.dilation_d, &s.pad_front,
                         &s.pad_back, &s.in_h, &s.out_h, &s.kernel_h, &s.stride_h, &s.dilation_h, &s.pad_top, &s.pad_bottom,
                         &s.in_w, &s.out_w, &s.kernel_w, &s.stride_w, &s.dilation_w, &s.pad_left, &s.pad_right})
    *field = args.integer();
  return checked(s);
}

bool empty(const Convolution& s) { return s.input_size() == 0 || s.output_size() == 0 || s.filter_size() == 0; }

}  // namespace

namespace {

void forward(Args& args, const Convolution& s) {
  const Activation act = args.flag() ? Activation::kRelu : Activation::kNone;
  const float *x = args.tensor<float>(s.input_size()), *w = args.tensor<float>(s.filter_size());
  const float* bias = args.optional<float>(s.out_c);
  float* y = args.tensor<float>(s.output_size());
  if (s.output_size() > 0) convolve(args.ctx, s, x, w, bias, act, y);
}

void backward_input(Args& args, const Convolution& s) {
  const float *dy = args.tensor<float>(s.output_size()), *w = args.tensor<float>(s.filter_size());
  const float* bias = args.optional<float>(s.in_c);
  float* dx = args.tensor<float>(s.input_size());
  if (empty(s)) std::fill(dx, dx + s.input_size(), 0.0f);
  else convolve_backward_input(args.ctx, s, dy, w, dx);
  if (!bias || s.in_c == 0) return;
  const int64_t rows = s.input_size() / s.in_c, c = s.in_c;
  parallel_for(rows, std::max<int64_t>(1, (1 << 14) / c), args.ctx.threads, [=](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r)
      for (int64_t k = 0; k < c; ++k) dx[r * c + k] += bias[k];
  });
}

void backward_filter(Args& args, const Convolution& s) {
  const float *x = args.tensor<float>(s.input_size()), *dy = args.tensor<float>(s.output_size());
  float* dw = args.tensor<float>(s.filter_size());
  if (empty(s)) return std::fill(dw, dw + s.filter_size(), 0.0f);
  convolve_backward_filter(args.ctx, s, x, dy, dw);
}

}  // namespace

// Arguments: the convolution, relu, x, filter, bias or -1, y.
VQ_OP(Conv2D) { forward(args, convolution(args)); }
VQ_OP(Conv3D) { forward(args, convolution_3d(args)); }

namespace {

// A buffer from the cache of tensors: the convolution has the scratch memory.
struct Borrowed {
  Borrowed(Context& c, size_t bytes) : context(c), handle(c.allocate(bytes)) {}
  ~Borrowed() { context.release(handle); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  Context& context;
  const int32_t handle;
};

}  // namespace

// A convolution and the normalisation behind it by given statistics, which scales its filter and shifts its bias; then
// `added` is added. Arguments: the convolution, epsilon, relu, x, filter, bias or -1, gamma, beta, mean, variance, added or
// -1, y.
VQ_OP(Conv2DNorm) {
  const Convolution s = convolution(args);
  const double epsilon = args.number();
  const Activation act = args.flag() ? Activation::kRelu : Activation::kNone;
  const float *x = args.tensor<float>(s.input_size()), *w = args.tensor<float>(s.filter_size());
  const float* bias = args.optional<float>(s.out_c);
  const float *gamma = args.tensor<float>(s.out_c), *beta = args.tensor<float>(s.out_c);
  const float *mean = args.tensor<float>(s.out_c), *variance = args.tensor<float>(s.out_c);
  const float* added = args.optional<float>(s.output_size());
  float* y = args.tensor<float>(s.output_size());
  if (s.output_size() == 0) return;
  const int64_t c = s.out_c, rows = s.filter_size() / c;
  std::vector<float> scale(c), shift(c);
  const Borrowed room(args.ctx, s.filter_size() * sizeof(float));
  float* filter = static_cast<float*>(args.ctx.at(room.handle).data);
  for (int64_t k = 0; k < c; ++k) {
    const double scaled = gamma[k] / std::sqrt(variance[k] + epsilon);
    scale[k] = static_cast<float>(scaled);
    shift[k] = static_cast<float>(beta[k] + ((bias ? bias[k] : 0.0f) - mean[k]) * scaled);
  }
  parallel_for(rows, std::max<int64_t>(1, (1 << 14) / c), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; ++r)
      for (int64_t k = 0; k < c; ++k) filter[r * c + k] = w[r * c + k] * scale[k];
  });
  convolve(args.ctx, s, x, filter, shift.data(), act, y, added);
}

// Arguments: the convolution, dy, filter, bias over the input's channels or -1, dx. The bias serves transposed convolution.
VQ_OP(Conv2DBackpropInput) { backward_input(args, convolution(args)); }
VQ_OP(Conv3DBackpropInput) { backward_input(args, convolution_3d(args)); }

// Arguments: the convolution, x, dy, dw.
VQ_OP(Conv2DBackpropFilter) { backward_filter(args, convolution(args)); }
VQ_OP(Conv3DBackpropFilter) { backward_filter(args, convolution_3d(args)); }

// Arguments: batch, batch of a, batch of b (1 or batch), m, n, k, transpose a, transpose b, a, b, c.
VQ_OP(MatMul) {
  const int64_t batch = args.integer(), batch_a = args.integer(), batch_b = args.integer();
  const int64_t m = args.integer(), n = args.integer(), k = args.integer();
  const bool ta = args.flag(), tb = args.flag();
  const float *a = args.tensor<float>(batch_a * m * k), *b = args.tensor<float>(batch_b * k * n);
  float* c = args.tensor<float>(batch * m * n);
  if ((batch_a != 1 && batch_a != batch) || (batch_b != 1 && batch_b != batch)) fail(Error::kShape, "batches do not match");
  if (batch * m * n == 0) return;
  if (k == 0) return std::fill(c, c + batch * m * n, 0.0f);
  if (batch_b == 1 && batch_a == batch && !ta) return matrix_product(args.ctx, false, tb, batch * m, n, k, a, b, c);
  for (int64_t i = 0; i < batch; ++i)
    matrix_product(args.ctx, ta, tb, m, n, k, a + (batch_a == 1 ? 0 : i * m * k), b + (batch_b == 1 ? 0 : i * k * n), c + i * m * n);
}

}  // namespace vq
