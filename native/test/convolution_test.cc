// Our own convolution kernels at every instruction set of the machine, against plain loops in double.
#include "vq/convolution.h"

#include <hwy/targets.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "check.h"
#include "vq/filter_gradient.h"
#include "vq/winograd.h"

namespace {

std::vector<float> noise(int64_t n, uint32_t seed) {
  std::vector<float> v(n);
  for (float& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed) / 2147483648.0f - 1.0f;
  }
  return v;
}

// Calls visit(x index, w index, y index) for every product of the convolution.
template <class Visit>
void products(const vq::Convolution& s, const Visit& visit) {
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t r = 0; r < s.out_h; ++r)
      for (int64_t c = 0; c < s.out_w; ++c)
        for (int64_t i = 0; i < s.kernel_h; ++i)
          for (int64_t j = 0; j < s.kernel_w; ++j) {
            const int64_t u = r * s.stride_h + i * s.dilation_h - s.pad_top, v = c * s.stride_w + j * s.dilation_w - s.pad_left;
            if (u < 0 || v < 0 || u >= s.in_h || v >= s.in_w) continue;
            for (int64_t k = 0; k < s.in_c; ++k)
              for (int64_t o = 0; o < s.out_c; ++o)
                visit(((n * s.in_h + u) * s.in_w + v) * s.in_c + k, ((i * s.kernel_w + j) * s.in_c + k) * s.out_c + o,
                      ((n * s.out_h + r) * s.out_w + c) * s.out_c + o);
          }
}

// The largest difference, by the expected values' root mean square.
double apart(const std::vector<float>& got, const std::vector<double>& expected) {
  double worst = 0, square = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::isfinite(got[i]) ? std::fabs(got[i] - expected[i]) : 1e9);
    square += expected[i] * expected[i];
  }
  return worst / std::sqrt(square / static_cast<double>(got.size()) + 1e-30);
}

void check_all(const vq::Convolution& s) {
  const auto x = noise(s.input_size(), 1), w = noise(s.filter_size(), 2), dy = noise(s.output_size(), 3), bias = noise(s.out_c, 4);
  std::vector<double> y(s.output_size()), dx(s.input_size()), dw(s.filter_size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = bias[i % s.out_c];
  products(s, [&](int64_t a, int64_t b, int64_t c) {
    y[c] += static_cast<double>(x[a]) * w[b];
    dx[a] += static_cast<double>(dy[c]) * w[b];
    dw[b] += static_cast<double>(dy[c]) * x[a];
  });
  std::vector<double> added(y);
  for (size_t i = 0; i < y.size(); ++i) added[i] = std::max(0.0, y[i] + dy[i]);
  for (double& v : y) v = std::max(0.0, v);
  for (int threads : {1, 2}) {
    vq::Context context;
    context.threads = threads;
    std::vector<float> got(s.output_size());
    vq::convolve(context, s, x.data(), w.data(), bias.data(), vq::Activation::kRelu, got.data());
    VQ_EXPECT(apart(got, y) < 5e-5);
    // Also with something added before the ReLU.
    vq::convolve(context, s, x.data(), w.data(), bias.data(), vq::Activation::kRelu, got.data(), dy.data());
    VQ_EXPECT(apart(got, added) < 5e-5);
    got.assign(s.input_size(), 0);
    vq::convolve_backward_input(context, s, dy.data(), w.data(), got.data());
    VQ_EXPECT(apart(got, dx) < 5e-5);
    got.assign(s.filter_size(), 0);
    vq::convolve_backward_filter(context, s, x.data(), dy.data(), got.data());
    VQ_EXPECT(apart(got, dw) < 5e-5);
    if (!vq::filter_gradient_fits(s)) continue;
    vq::filter_gradient(s, x.data(), dy.data(), got.data(), threads);
    VQ_EXPECT(apart(got, dw) < 1e-5);
  }
}

}  // namespace

VQ_TEST(filter_gradients_copy_no_more_than_there_is) {
  // 2^26 columns of one stride, and 2^26 rows between two taps.
  const vq::Convolution far_steps{1, 4, 4, 16, 1, 1, 16, 2, 2, 8192, 8192, 1, 1, 0, 0, 0, 0};
  const vq::Convolution far_taps{1, 4, 4, 3, 4, 4, 16, 2, 1, 1, 1, 1 << 24, 1, 0, 1 << 24, 0, 0};
  const vq::Convolution near{1, 4, 4, 3, 4, 4, 16, 2, 1, 1, 1, 2, 1, 0, 2, 0, 0};
  VQ_EXPECT(!vq::filter_gradient_fits(far_steps));
  VQ_EXPECT(!vq::filter_gradient_fits(far_taps));
  VQ_EXPECT(vq::filter_gradient_fits(near));
}

VQ_TEST(convolutions_agree_with_plain_loops_at_every_instruction_set) {
  const std::vector<vq::Convolution> shapes = {
      {16, 8, 8, 32, 8, 8, 48, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},      // Winograd, whole tiles
      {23, 7, 6, 48, 7, 6, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},      // cut tiles
      {16, 16, 16, 32, 8, 8, 32, 4, 4, 2, 2, 1, 1, 1, 1, 1, 1},    // four phases
      {18, 13, 14, 48, 7, 8, 32, 4, 4, 2, 2, 1, 1, 2, 2, 2, 2},    // odd image
      {2, 9, 9, 17, 5, 5, 19, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1},       // our filter gradient, tails
      {1, 3, 150, 16, 3, 150, 70, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},   // wider than a pass
      {2, 8, 8, 16, 8, 8, 33, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2},       // dilated
      {3, 7, 9, 22, 7, 9, 70, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},       // one tap, whole images in a pass
      {4, 30, 20, 32, 15, 10, 64, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0},   // one tap, steps
      {5, 40, 12, 48, 39, 12, 96, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},   // one tap, fewer outputs than fit
      {6, 12, 12, 33, 14, 14, 40, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},   // one tap, behind the edges too
      {4, 9, 9, 24, 5, 5, 40, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1},       // images shared out to threads
      {3, 8, 8, 3, 4, 4, 24, 4, 4, 2, 2, 1, 1, 1, 1, 1, 1},        // few channels
      {2, 5, 6, 1, 5, 6, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},        // one channel, a lane beyond a vector
      {2, 3, 2, 15, 7, 9, 16, 1, 5, 1, 1, 1, 1, 2, 2, 5, 6},       // wider than the image, more padding than row
      {2, 7, 7, 5, 3, 1, 33, 2, 2, 3, 5, 1, 1, 1, 1, 1, 0},        // steps beyond the taps, one column
      {1, 9, 140, 3, 5, 140, 20, 3, 3, 1, 1, 2, 1, 0, 0, 1, 1},    // taller by dilation, wider than a pass
      {1, 3, 3, 2, 2, 2, 16, 2, 2, 9, 9, 1, 1, 4, 4, 4, 4},        // an output behind the edges alone
      {1, 5, 5, 16, 1, 1, 16, 2, 2, 9000, 9000, 1, 1, 0, 0, 0, 0}, // far steps
      {2, 10, 9, 64, 10, 9, 80, 3, 3, 1, 1, 8, 7, 8, 8, 7, 7},        // most taps behind the edges
      {3, 6, 7, 64, 3, 4, 72, 3, 2, 2, 2, 6, 7, 6, 4, 7, 6},          // the same with steps
      {2, 5, 5, 64, 5, 5, 64, 3, 3, 1, 1, 9, 9, 9, 9, 9, 9},          // the middle tap alone
      {2, 6, 6, 64, 6, 6, 64, 2, 2, 1, 1, 10, 10, 5, 5, 5, 5},        // no tap meets all of the image
      {1, 5, 5, 3, 2, 5, 16, 2, 2, 90000, 1, 1, 1, 0, 89999, 0, 1},
  };
  for (int64_t target : {static_cast<int64_t>(HWY_SCALAR), static_cast<int64_t>(HWY_AVX2), static_cast<int64_t>(HWY_AVX3)}) {
    hwy::SetSupportedTargetsForTest(0);
    if ((hwy::SupportedTargets() & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    for (const auto& s : shapes) {
      check_all(s);
      vq::Convolution none = s;
      none.batch = 0;
      vq::Context context;
      if (vq::filter_gradient_fits(s)) {
        std::vector<float> dw(none.filter_size(), 1.0f);
        vq::filter_gradient(none, nullptr, nullptr, dw.data(), 2);
        VQ_EXPECT(dw[0] == 0.0f && dw.back() == 0.0f);
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}
