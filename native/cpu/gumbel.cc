// Samples of the Gumbel-softmax distribution and the divergence of the logits' own from the uniform one, in one pass over
// rows that stay in the cache. Jang et al. 2016, https://arxiv.org/abs/1611.01144, equations 1 and 2:
//   y = softmax((l + g) / tau), g = -log(-log u);  kl = log K + sum p log p, p = softmax(l).
// Back: dl = y (dy - y.dy) / tau + dkl / N p (log p + log K - kl).
#include <algorithm>
#include <cmath>

#include "vq/dropout.h"
#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/gumbel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/philox-inl.h"
#include "cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
using namespace simd;

// One row: y [k], and the logits' largest and log of the sum of exponentials behind it, and sum p log p.
void gumbel_row(const float* l, int64_t k, float tau, const PhiloxPosition& at, uint64_t block, float* y, int32_t* index,
                float* log_sum, float* negentropy) {
  const int64_t step = lanes();
  philox_words(at, block, k, y, [&](const VU* w, VF* v) HWY_ATTR {
    for (int i = 0; i < 4; ++i) {
      const VF u = hn::Mul(hn::ConvertTo(F(), hn::BitCast(I(), hn::ShiftRight<8>(w[i]))), set(0x1p-24f));
      const VF inside = hn::Min(hn::Add(u, set(0x1p-25f)), set(1.0f - 0x1p-24f));
      v[i] = hn::Neg(log(hn::Neg(log(inside))));
    }
  });
  const float infinity = std::numeric_limits<float>::infinity();
  const VF scale = set(1.0f / tau);
  VF most = set(-infinity), most_l = set(-infinity);
  for (int64_t i = 0; i < k; i += step) {
    const int64_t n = HWY_MIN(step, k - i);
    const VF logit = part(l + i, n, -infinity);
    const VF t = hn::Mul(hn::Add(logit, part(y + i, n)), scale);
    most = hn::Max(most, keep_first(t, n, -infinity));
    most_l = hn::Max(most_l, logit);
    put_part(t, y + i, n);
  }
  const float top = largest(most), top_l = largest(most_l);
  *index = 0;
  for (int64_t i = 0; i < k; i += step) {
    const int64_t n = HWY_MIN(step, k - i);
    if (hn::AllFalse(F(), hn::Eq(part(y + i, n, -infinity), set(top)))) continue;
    int64_t at_top = i;
    while (at_top < k - 1 && y[at_top] != top) ++at_top;
    *index = static_cast<int32_t>(at_top);
    break;
  }
  VF total = zero(), total_l = zero(), weighted = zero();
  for (int64_t i = 0; i < k; i += step) {
    const int64_t n = HWY_MIN(step, k - i);
    const VF e = keep_first(exp_negative(hn::Sub(part(y + i, n), set(top))), n);
    const VF below = hn::Sub(part(l + i, n, top_l), set(top_l)), el = keep_first(exp_negative(below), n);
    total = hn::Add(total, e);
    total_l = hn::Add(total_l, el);
    weighted = hn::MulAdd(el, below, weighted);
    put_part(e, y + i, n);
  }
  const VF inverse = set(1.0f / sum(total));
  for (int64_t i = 0; i < k; i += step) {
    const int64_t n = HWY_MIN(step, k - i);
    put_part(hn::Mul(part(y + i, n), inverse), y + i, n);
  }
  const float of_l = sum(total_l), log_of_l = std::log(of_l);
  *log_sum = top_l + log_of_l;
  *negentropy = sum(weighted) / of_l - log_of_l;
}

// dl of one row; `by_kl` is dkl / N.
void gumbel_gradient_row(const float* l, const float* y, const float* dy, int64_t k, float tau, float log_sum,
                         float negentropy, float by_kl, float* dl) {
  const int64_t step = lanes();
  VF dot = zero();
  for (int64_t i = 0; i < k; i += step) {
    const int64_t n = HWY_MIN(step, k - i);
    dot = hn::MulAdd(part(y + i, n), part(dy + i, n), dot);
  }
  const VF product = set(sum(dot)), scale = set(1.0f / tau), w = set(by_kl);
  for (int64_t i = 0; i < k; i += step) {
    const int64_t n = HWY_MIN(step, k - i);
    VF v = hn::Mul(hn::Mul(part(y + i, n), hn::Sub(part(dy + i, n), product)), scale);
    if (by_kl != 0) {
      const VF log_p = hn::Min(hn::Sub(part(l + i, n), set(log_sum)), zero());
      v = hn::MulAdd(hn::Mul(w, exp_negative(log_p)), hn::Sub(log_p, set(negentropy)), v);
    }
    put_part(v, dl + i, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(gumbel_row);
HWY_EXPORT(gumbel_gradient_row);

namespace {
void expect_sizes(int64_t rows, int64_t k, double tau) {
  if (rows < 1 || k < 1 || rows > (int64_t{1} << 40) || k > INT32_MAX) fail(Error::kShape, "sizes are out of range");
  if (!(tau > 0)) fail(Error::kValue, "the temperature is not positive");
}
}  // namespace

// Arguments: rows, k, tau, the position in Philox's numbers (every row begins a block), logits; y [rows, k], indices [rows],
// the mean kl [1], each row's log of its sum of exponentials and its sum of p log p [rows].
VQ_OP(GumbelSoftmax) {
  const int64_t rows = args.integer(), k = args.integer();
  const double tau = args.number();
  expect_sizes(rows, k, tau);
  uint64_t block = 0;
  const PhiloxPosition at = philox_position(args, block);
  const float* l = args.tensor<float>(rows * k);
  float* y = args.tensor<float>(rows * k);
  int32_t* indices = args.tensor<int32_t>(rows);
  float *kl = args.tensor<float>(1), *log_sum = args.tensor<float>(rows), *negentropy = args.tensor<float>(rows);
  const uint64_t blocks = (static_cast<uint64_t>(k) + 3) / 4;
  parallel_for(rows, std::max<int64_t>(1, 4096 / k), args.ctx.threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      HWY_DYNAMIC_DISPATCH(gumbel_row)
      (l + r * k, k, static_cast<float>(tau), at, block + blocks * static_cast<uint64_t>(r), y + r * k, indices + r, log_sum + r,
       negentropy + r);
  });
  double total = 0;
  for (int64_t r = 0; r < rows; ++r) total += negentropy[r];
  kl[0] = static_cast<float>(total / static_cast<double>(rows) + std::log(static_cast<double>(k)));
}

// Arguments: rows, k, tau, logits, y, each row's log of its sum of exponentials, its sum of p log p, dy, dkl [1]; dl.
VQ_OP(GumbelSoftmaxGrad) {
  const int64_t rows = args.integer(), k = args.integer();
  const double tau = args.number();
  expect_sizes(rows, k, tau);
  const float *l = args.tensor<float>(rows * k), *y = args.tensor<float>(rows * k);
  const float *log_sum = args.tensor<float>(rows), *negentropy = args.tensor<float>(rows);
  const float *dy = args.tensor<float>(rows * k), *dkl = args.tensor<float>(1);
  float* dl = args.tensor<float>(rows * k);
  const float by_kl = dkl[0] / static_cast<float>(rows);
  parallel_for(rows, std::max<int64_t>(1, 16384 / k), args.ctx.threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      HWY_DYNAMIC_DISPATCH(gumbel_gradient_row)
      (l + r * k, y + r * k, dy + r * k, k, static_cast<float>(tau), log_sum[r], negentropy[r], by_kl, dl + r * k);
  });
}

}  // namespace vq
#endif  // HWY_ONCE
