// Layer normalisation of each row of [rows, columns], forward and backward.
// Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450, equations 3 and 4.
#include "cpu/layer_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "vq/op.h"
#include "vq/stream.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/layer_norm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

// Sum of f(vector at i, lanes that count) over a row; every 4096 elements go on in double.
template <class Function>
HWY_INLINE double row_sum(int64_t n, const Function& f) {
  const int64_t step = lanes();
  double total = 0;
  for (int64_t start = 0; start < n; start += 4096) {
    const int64_t end = std::min<int64_t>(n, start + 4096);
    VF a = zero(), b = zero(), c = zero(), d = zero();
    int64_t i = start;
    for (; i + 4 * step <= end; i += 4 * step) {
      a = f(i, step, a);
      b = f(i + step, step, b);
      c = f(i + 2 * step, step, c);
      d = f(i + 3 * step, step, d);
    }
    for (; i + step <= end; i += step) a = f(i, step, a);
    if (i < end) b = f(i, end - i, b);
    total += sum(hn::Add(hn::Add(a, b), hn::Add(c, d)));
  }
  return total;
}

template <bool kStream>
void forward_rows(const float* x, const float* gamma, const float* beta, int64_t rows, int64_t c, double epsilon, float* y,
                  float* mean, float* inverse) {
  const int64_t step = lanes();
  for (int64_t r = 0; r < rows; ++r, x += c, y += c) {
    const double total = row_sum(c, [&](int64_t i, int64_t n, VF s) HWY_ATTR { return hn::Add(s, part(x + i, n)); });
    const float m = static_cast<float>(total / c);
    const VF vm = set(m);
    const double squares = row_sum(c, [&](int64_t i, int64_t n, VF s) HWY_ATTR {
      const VF v = hn::Sub(part(x + i, n, m), vm);
      return hn::MulAdd(v, v, s);
    });
    const float scale = static_cast<float>(1 / std::sqrt(squares / c + epsilon));
    mean[r] = m;
    inverse[r] = scale;
    const VF vs = set(scale);
    const auto at = [&](int64_t i, int64_t n) HWY_ATTR {
      VF v = hn::Mul(hn::Sub(part(x + i, n), vm), vs);
      if (gamma) v = hn::Mul(v, part(gamma + i, n));
      return beta ? hn::Add(v, part(beta + i, n)) : v;
    };
    int64_t i = 0;
    for (; i + step <= c; i += step) put<kStream>(at(i, step), y + i);
    if (i < c) store_part(at(i, c - i), y + i, c - i);
  }
  if (kStream) hwy::FlushStream();
}

// dx, and the rows' sums of dy·x̂ and dy added to dgamma and dbeta (either both or neither may be null).
template <bool kStream>
void backward_rows(const float* x, const float* gamma, const float* mean, const float* inverse, const float* dy,
                   int64_t rows, int64_t c, float* dx, float* dgamma, float* dbeta) {
  const int64_t step = lanes();
  for (int64_t r = 0; r < rows; ++r, x += c, dy += c, dx += c) {
    const float m = mean[r];
    const VF vm = set(m), vs = set(inverse[r]);
    double of_g = 0, of_product = 0;
    for (int64_t start = 0; start < c; start += 4096) {
      const int64_t end = std::min<int64_t>(c, start + 4096);
      VF g0 = zero(), g1 = zero(), p0 = zero(), p1 = zero();
      const auto add = [&](int64_t i, int64_t n, VF& g, VF& p) HWY_ATTR {
        const VF d = part(dy + i, n), normal = hn::Mul(hn::Sub(part(x + i, n, m), vm), vs);
        const VF w = gamma ? hn::Mul(d, part(gamma + i, n)) : d;
        g = hn::Add(g, w);
        p = hn::MulAdd(w, normal, p);
        if (!dgamma) return;
        const VF sg = hn::MulAdd(d, normal, part(dgamma + i, n)), sb = hn::Add(d, part(dbeta + i, n));
        if (n == step) {
          store(sg, dgamma + i);
          store(sb, dbeta + i);
        } else {
          store_part(sg, dgamma + i, n);
          store_part(sb, dbeta + i, n);
        }
      };
      int64_t i = start;
      for (; i + 2 * step <= end; i += 2 * step) {
        add(i, step, g0, p0);
        add(i + step, step, g1, p1);
      }
      for (; i < end; i += step) add(i, std::min(step, end - i), g0, p0);
      of_g += sum(hn::Add(g0, g1));
      of_product += sum(hn::Add(p0, p1));
    }
    const VF a = set(static_cast<float>(of_g / c)), b = set(static_cast<float>(of_product / c));
    const auto at = [&](int64_t i, int64_t n) HWY_ATTR {
      const VF d = part(dy + i, n), normal = hn::Mul(hn::Sub(part(x + i, n), vm), vs);
      const VF w = gamma ? hn::Mul(d, part(gamma + i, n)) : d;
      return hn::Mul(vs, hn::Sub(hn::Sub(w, a), hn::Mul(normal, b)));
    };
    int64_t i = 0;
    for (; i + step <= c; i += step) put<kStream>(at(i, step), dx + i);
    if (i < c) store_part(at(i, c - i), dx + i, c - i);
  }
  if (kStream) hwy::FlushStream();
}

}  // namespace

void layer_norm_rows(const float* x, const float* gamma, const float* beta, int64_t rows, int64_t c, double epsilon,
                     bool stream, float* y, float* mean, float* inverse) {
  if (stream && aligned(y) && c % lanes() == 0) forward_rows<true>(x, gamma, beta, rows, c, epsilon, y, mean, inverse);
  else forward_rows<false>(x, gamma, beta, rows, c, epsilon, y, mean, inverse);
}
void layer_norm_gradient_rows(const float* x, const float* gamma, const float* mean, const float* inverse, const float* dy,
                              int64_t rows, int64_t c, bool stream, float* dx, float* dgamma, float* dbeta) {
  if (stream && aligned(dx) && c % lanes() == 0)
    backward_rows<true>(x, gamma, mean, inverse, dy, rows, c, dx, dgamma, dbeta);
  else backward_rows<false>(x, gamma, mean, inverse, dy, rows, c, dx, dgamma, dbeta);
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(layer_norm_gradient_rows);

void layer_norm_alone(const float* x, const float* gamma, const float* beta, int64_t rows, int64_t columns, double epsilon, float* y,
                      float* mean, float* inverse) {
  HWY_DYNAMIC_DISPATCH(layer_norm_rows)(x, gamma, beta, rows, columns, epsilon, false, y, mean, inverse);
}

// Arguments: rows, columns, epsilon, x, gamma or -1, beta or -1, y, mean, inverse deviation (one per row each).
VQ_OP(LayerNorm) {
  const int64_t rows = args.integer(), c = args.integer();
  const double epsilon = args.number();
  const float* x = args.tensor<float>(rows * c);
  const float *gamma = args.optional<float>(c), *beta = args.optional<float>(c);
  float* y = args.tensor<float>(rows * c);
  float *mean = args.tensor<float>(rows), *inverse = args.tensor<float>(rows);
  const bool stream = worth_streaming(rows * c);
  parallel_for(rows, std::max<int64_t>(1, (1 << 14) / (c + 1)), args.ctx.threads, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(layer_norm_rows)(x + b * c, gamma, beta, e - b, c, epsilon, stream, y + b * c, mean + b, inverse + b);
  });
}

// Arguments: rows, columns, x, gamma or -1, mean, inverse deviation, dy, dx, dgamma, dbeta (both or neither -1).
VQ_OP(LayerNormGrad) {
  const int64_t rows = args.integer(), c = args.integer();
  const float* x = args.tensor<float>(rows * c);
  const float* gamma = args.optional<float>(c);
  const float *mean = args.tensor<float>(rows), *inverse = args.tensor<float>(rows);
  const float* dy = args.tensor<float>(rows * c);
  float* dx = args.tensor<float>(rows * c);
  float *dgamma = args.optional<float>(c), *dbeta = args.optional<float>(c);
  if ((dgamma == nullptr) != (dbeta == nullptr)) fail(Error::kValue, "gradients of gamma and beta come together");
  const bool stream = worth_streaming(rows * c);
  // Sums over rows: chunks of fixed length, added in order, so that the number of threads changes nothing.
  const int64_t per_chunk = std::max<int64_t>(64, (rows + 255) / 256);
  const int64_t chunks = (rows + per_chunk - 1) / per_chunk;
  float* partial = nullptr;
  if (dgamma) partial = static_cast<float*>(args.ctx.scratch(std::max<int64_t>(1, chunks * 2 * c) * sizeof(float)));
  parallel_for(chunks, std::max<int64_t>(1, (1 << 14) / (per_chunk * c + 1)), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; ++k) {
      const int64_t first = k * per_chunk, n = std::min(per_chunk, rows - first);
      float* sums = partial ? partial + k * 2 * c : nullptr;
      if (sums) std::fill(sums, sums + 2 * c, 0.0f);
      HWY_DYNAMIC_DISPATCH(layer_norm_gradient_rows)
      (x + first * c, gamma, mean + first, inverse + first, dy + first * c, n, c, stream, dx + first * c, sums,
       sums ? sums + c : nullptr);
    }
  });
  if (!dgamma) return;
  std::vector<double> total(2 * c, 0.0);
  for (int64_t k = 0; k < chunks; ++k)
    for (int64_t i = 0; i < 2 * c; ++i) total[i] += partial[k * 2 * c + i];
  for (int64_t i = 0; i < c; ++i) {
    dgamma[i] = static_cast<float>(total[i]);
    dbeta[i] = static_cast<float>(total[c + i]);
  }
}

}  // namespace vq
#endif  // HWY_ONCE
