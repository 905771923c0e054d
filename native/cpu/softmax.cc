// Softmax, its logarithm and the cross-entropy of its result, row by row, forward and backward.
#include <algorithm>
#include <cmath>
#include <limits>

#include "vq/op.h"
#include "vq/stream.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/softmax.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kRun = 4096;  // elements summed in float32 before the sum goes on in double

HWY_INLINE float row_max(const float* x, int64_t n) {
  const int64_t step = lanes();
  VF a = set(-kInf), b = a;
  int64_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    a = hn::Max(a, load(x + i));
    b = hn::Max(b, load(x + i + step));
  }
  for (; i + step <= n; i += step) a = hn::Max(a, load(x + i));
  if (i < n) b = hn::Max(b, load_part(x + i, n - i, -kInf));
  return largest(hn::Max(a, b));
}

// Sum over the row of f(i, lanes that count), which gives 0 in lanes that do not.
template <class Function>
HWY_INLINE double row_sum(int64_t n, const Function& f) {
  const int64_t step = lanes();
  double total = 0;
  for (int64_t start = 0; start < n; start += kRun) {
    const int64_t end = std::min(n, start + kRun);
    VF a = zero(), b = zero();
    int64_t i = start;
    for (; i + 2 * step <= end; i += 2 * step) {
      a = hn::Add(a, f(i, step));
      b = hn::Add(b, f(i + step, step));
    }
    for (; i < end; i += step) a = hn::Add(a, f(i, std::min(step, end - i)));
    total += sum(hn::Add(a, b));
  }
  return total;
}
template <bool kStream, class Function>
HWY_INLINE void write_row(int64_t n, float* out, const Function& f) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) put<kStream>(f(i, step), out + i);
  if (i < n) store_part(f(i, n - i), out + i, n - i);
}

// Σ exp(x − top) of a row.
HWY_INLINE double exp_sum(const float* x, int64_t n, float top) {
  const VF t = set(top);
  // A lane that does not count holds −∞, whose exponential is 0 whatever `top` is, unless that is −∞ too.
  return row_sum(n, [&](int64_t i, int64_t k) HWY_ATTR {
    const VF e = exp_negative(hn::Sub(part(x + i, k, -kInf), t));
    return k == lanes() ? e : keep_first(e, k);
  });
}

template <bool kStream>
void forward(bool logarithm, const float* x, int64_t rows, int64_t c, float* out) {
  for (int64_t r = 0; r < rows; ++r, x += c, out += c) {
    const float top = row_max(x, c);
    const double total = exp_sum(x, c, top);
    const VF t = set(top);
    if (logarithm) {
      const VF shift = set(static_cast<float>(std::log(total)));
      write_row<kStream>(c, out, [&](int64_t i, int64_t k) HWY_ATTR { return hn::Sub(hn::Sub(part(x + i, k), t), shift); });
    } else {
      const VF scale = set(static_cast<float>(1 / total));
      write_row<kStream>(c, out, [&](int64_t i, int64_t k) HWY_ATTR {
        return hn::Mul(exp_negative(hn::Sub(part(x + i, k), t)), scale);
      });
    }
  }
  if (kStream) hwy::FlushStream();
}

template <bool kStream>
void backward(bool logarithm, const float* y, const float* dy, int64_t rows, int64_t c, float* dx) {
  for (int64_t r = 0; r < rows; ++r, y += c, dy += c, dx += c) {
    if (logarithm) {
      const double total = row_sum(c, [&](int64_t i, int64_t k) HWY_ATTR { return part(dy + i, k); });
      const VF s = set(static_cast<float>(total));
      write_row<kStream>(c, dx, [&](int64_t i, int64_t k) HWY_ATTR {
        return hn::NegMulAdd(exp_negative(part(y + i, k)), s, part(dy + i, k));
      });
    } else {
      const double total = row_sum(c, [&](int64_t i, int64_t k) HWY_ATTR { return hn::Mul(part(y + i, k), part(dy + i, k)); });
      const VF s = set(static_cast<float>(total));
      write_row<kStream>(c, dx, [&](int64_t i, int64_t k) HWY_ATTR {
        return hn::Mul(part(y + i, k), hn::Sub(part(dy + i, k), s));
      });
    }
  }
  if (kStream) hwy::FlushStream();
}

}  // namespace

void softmax_rows(bool logarithm, const float* x, int64_t rows, int64_t c, bool stream, float* out) {
  if (stream && aligned(out) && c % lanes() == 0) forward<true>(logarithm, x, rows, c, out);
  else forward<false>(logarithm, x, rows, c, out);
}
void softmax_gradient_rows(bool logarithm, const float* y, const float* dy, int64_t rows, int64_t c, bool stream, float* dx) {
  if (stream && aligned(dx) && c % lanes() == 0) backward<true>(logarithm, y, dy, rows, c, dx);
  else backward<false>(logarithm, y, dy, rows, c, dx);
}

// lse = log Σ exp of each row, and the row's mean where `mean` is not null.
void log_sum_exp_rows(const float* x, int64_t rows, int64_t c, float* lse, float* mean) {
  for (int64_t r = 0; r < rows; ++r, x += c) {
    const float top = row_max(x, c);
    lse[r] = static_cast<float>(std::isinf(top) ? top : top + std::log(exp_sum(x, c, top)));
    if (mean) mean[r] = static_cast<float>(row_sum(c, [&](int64_t i, int64_t k) HWY_ATTR { return part(x + i, k); }) / c);
  }
}

// dx = scale·(exp(x − lse) − uniform); rows with scale 0 become 0. The label's share is the caller's.
void cross_entropy_gradient_rows(const float* x, const float* lse, const float* scale, float uniform, int64_t rows,
                                 int64_t c, float* dx) {
  for (int64_t r = 0; r < rows; ++r, x += c, dx += c) {
    if (scale[r] == 0) {
      std::fill(dx, dx + c, 0.0f);
      continue;
    }
    const VF l = set(lse[r]), s = set(scale[r]), u = set(uniform);
    write_row<false>(c, dx, [&](int64_t i, int64_t k) HWY_ATTR { return hn::Mul(s, hn::Sub(exp_negative(hn::Sub(part(x + i, k), l)), u)); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(softmax_rows);
HWY_EXPORT(softmax_gradient_rows);
HWY_EXPORT(log_sum_exp_rows);
HWY_EXPORT(cross_entropy_gradient_rows);
namespace {

template <class Body>
void over_rows(Context& ctx, int64_t rows, int64_t c, const Body& body) {
  parallel_for(rows, std::max<int64_t>(1, (1 << 13) / (c + 1)), ctx.threads, body);
}

}  // namespace

// Softmax (0) or its logarithm (1) of each row. Arguments: which, rows, columns, x, out.
VQ_OP(Softmax) {
  const bool logarithm = args.flag();
  const int64_t rows = args.integer(), c = args.integer();
  const float* x = args.tensor<float>(rows * c);
  float* out = args.tensor<float>(rows * c);
  const bool stream = worth_streaming(rows * c);
  over_rows(args.ctx, rows, c, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(softmax_rows)(logarithm, x + b * c, e - b, c, stream, out + b * c);
  });
}

// Arguments: which, rows, columns, the result y, dy, dx.
VQ_OP(SoftmaxGrad) {
  const bool logarithm = args.flag();
  const int64_t rows = args.integer(), c = args.integer();
  const float *y = args.tensor<float>(rows * c), *dy = args.tensor<float>(rows * c);
  float* dx = args.tensor<float>(rows * c);
  const bool stream = worth_streaming(rows * c);
  over_rows(args.ctx, rows, c, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(softmax_gradient_rows)(logarithm, y + b * c, dy + b * c, e - b, c, stream, dx + b * c);
  });
}

namespace {

// The first row whose label is neither a class nor `ignore`, or -1.
int64_t first_bad_label(const int32_t* labels, int64_t rows, int64_t c, int64_t ignore, int64_t& counted) {
  for (int64_t r = 0; r < rows; ++r) {
    if (labels[r] == ignore) continue;
    if (labels[r] < 0 || labels[r] >= c) return r;
    ++counted;
  }
  return -1;
}

}  // namespace

// Loss of each row, (1 − ε)·(lse − x[label]) + ε·(lse − mean x), 0 where the label is `ignore`. Answers the number of rows
// that count, or −1 − the first row whose label is out of range. Arguments: rows, classes, ε, ignore, x, labels, loss, lse.
VQ_OP(CrossEntropy) {
  const int64_t rows = args.integer(), c = args.integer();
  const double smoothing = args.number();
  const int64_t ignore = args.integer();
  const float* x = args.tensor<float>(rows * c);
  const int32_t* labels = args.tensor<int32_t>(rows);
  float *loss = args.tensor<float>(rows), *lse = args.tensor<float>(rows);
  int64_t counted = 0;
  const int64_t bad = first_bad_label(labels, rows, c, ignore, counted);
  if (bad >= 0) return args.answer(-1.0 - static_cast<double>(bad));
  over_rows(args.ctx, rows, c, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(log_sum_exp_rows)(x + b * c, e - b, c, lse + b, smoothing != 0 ? loss + b : nullptr);
    for (int64_t r = b; r < e; ++r) {
      if (labels[r] == ignore) {
        loss[r] = 0;
        continue;
      }
      const double all = lse[r], own = all - x[r * c + labels[r]];
      loss[r] = static_cast<float>(smoothing == 0 ? own : (1 - smoothing) * own + smoothing * (all - loss[r]));
    }
  });
  args.answer(static_cast<double>(counted));
}

// Arguments: rows, classes, ε, ignore, whether the loss was a mean, x, labels, lse, whether dy is one per row, dy, dx.
VQ_OP(CrossEntropyGrad) {
  const int64_t rows = args.integer(), c = args.integer();
  const double smoothing = args.number();
  const int64_t ignore = args.integer();
  const bool mean = args.flag();
  const float* x = args.tensor<float>(rows * c);
  const int32_t* labels = args.tensor<int32_t>(rows);
  const float* lse = args.tensor<float>(rows);
  const bool per_row = args.flag();
  const float* dy = args.tensor<float>(per_row ? rows : 1);
  float* dx = args.tensor<float>(rows * c);
  int64_t counted = 0;
  if (first_bad_label(labels, rows, c, ignore, counted) >= 0) fail(Error::kValue, "a label is out of range");
  const float factor = static_cast<float>(mean ? 1.0 / std::max<int64_t>(1, counted) : 1.0);
  float* scale = static_cast<float*>(args.ctx.scratch(std::max<int64_t>(1, rows) * sizeof(float)));
  for (int64_t r = 0; r < rows; ++r) scale[r] = labels[r] == ignore ? 0.0f : factor * dy[per_row ? r : 0];
  const float uniform = static_cast<float>(smoothing / std::max<int64_t>(1, c)), rest = static_cast<float>(1 - smoothing);
  over_rows(args.ctx, rows, c, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_gradient_rows)(x + b * c, lse + b, scale + b, uniform, e - b, c, dx + b * c);
    for (int64_t r = b; r < e; ++r)
      if (labels[r] != ignore) dx[r * c + labels[r]] -= scale[r] * rest;
  });
}

}  // namespace vq
#endif  // HWY_ONCE
