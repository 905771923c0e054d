// Convolution and matrix product through oneDNN. Images are NHWC or NDHWC, filters HWIO or DHWIO, as TensorFlow.js keeps
// them.
#pragma once
#include <cstdint>

#include "vq/context.h"

namespace vq {

struct Convolution {
  int64_t batch, in_h, in_w, in_c, out_h, out_w, out_c;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  // The third spatial axis; planar convolutions leave it as it is here.
  bool planar = true;
  int64_t in_d = 1, out_d = 1, kernel_d = 1, stride_d = 1, dilation_d = 1, pad_front = 0, pad_back = 0;
  int64_t input_size() const { return batch * in_d * in_h * in_w * in_c; }
  int64_t output_size() const { return batch * out_d * out_h * out_w * out_c; }
  int64_t filter_size() const { return kernel_d * kernel_h * kernel_w * in_c * out_c; }
};

enum class Activation { kNone = 0, kRelu = 1 };

// y = act(conv(x, w) + bias + added); bias and `added`, of y's size, may be null.
void convolve(Context&, const Convolution&, const float* x, const float* w, const float* bias, Activation, float* y,
              const float* added = nullptr);
// dx: the gradient by the input, which is also transposed convolution.
void convolve_backward_input(Context&, const Convolution&, const float* dy, const float* w, float* dx);
void convolve_backward_filter(Context&, const Convolution&, const float* x, const float* dy, float* dw);

// c[m,n] = a·b, each operand possibly transposed as stored, row major.
void matrix_product(Context&, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
                    const float* b, float* c);
// c = a·b + beta·c on the calling thread alone, for callers that are one of several threads.
void matrix_product_alone(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
                          const float* b, float beta, float* c);

}  // namespace vq
