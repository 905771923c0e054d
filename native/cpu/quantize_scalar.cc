// The reference: the contract's arithmetic written plainly. One code per panel, so packing is a copy.
#include <cmath>
#include <limits>

#include "cpu/quantize_kernels.h"

namespace vq {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

void pack(const float* codes, int64_t k, int64_t dim, int64_t first, bool half_norm, float* out, float* bias) {
  float norm = 0;
  for (int64_t d = 0; d < dim; ++d) {
    out[d] = codes[first * dim + d];
    norm = std::fma(out[d], out[d], norm);
  }
  bias[0] = half_norm ? 0.5f * norm : 0.0f;
}

// #region nearest
float score(const float* x, const float* e, float bias, int64_t dim) {
  float s = bias;
  for (int64_t d = 0; d < dim; ++d) s = std::fma(-x[d], e[d], s);
  return s;
}

void assign(const float* x, int64_t n, int64_t dim, const float* packed, const float* bias, int64_t panels,
            float*, int32_t*, float*, int32_t* codes, float* scores) {
  for (int64_t i = 0; i < n; ++i) {
    float best = kInf;
    int32_t arg = 0;
    for (int64_t k = 0; k < panels; ++k) {
      const float s = score(x + i * dim, packed + k * dim, bias[k], dim);
      if (s < best) best = s, arg = static_cast<int32_t>(k);
    }
    codes[i] = arg;
    scores[i] = best;
  }
}
// #endregion nearest

void top(const float* x, int64_t n, int64_t dim, const float* packed, const float* bias, int64_t panels, int most,
         float* scores, int32_t* codes, int32_t* counts) {
  for (int64_t i = 0; i < n; ++i) {
    counts[i] = 0;
    for (int64_t k = 0; k < panels; ++k) {
      const float s = score(x + i * dim, packed + k * dim, bias[k], dim);
      const float limit = counts[i] < most ? kInf : scores[i * most + most - 1];
      if (s < limit) insert_top(s, static_cast<int32_t>(k), most, scores + i * most, codes + i * most, counts[i]);
    }
  }
}

void squared(const float* const* a, const float* const* b, int64_t n, int64_t dim, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    float s = 0;
    for (int64_t d = 0; d < dim; ++d) {
      const float t = b ? a[i][d] - b[i][d] : a[i][d];
      s = std::fma(t, t, s);
    }
    out[i] = s;
  }
}

void squared_to(const float* const* a, const float* c, int64_t n, int64_t dim, float* out) {
  for (int64_t i = 0; i < n; ++i) squared(a + i, &c, 1, dim, out + i);
}

void scores(const float* const* a, const float* const* b, const float* start, int64_t n, int64_t dim, float* out,
            float* norms) {
  for (int64_t i = 0; i < n; ++i) {
    out[i] = score(a[i], b[i], start[i], dim);
    if (norms) squared(a + i, nullptr, 1, dim, norms + i);
  }
}

void add_rows(const float* x, const int32_t* rows, int64_t count, int64_t dim, float* sum) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < dim; ++d) sum[d] += x[static_cast<int64_t>(rows[i]) * dim + d];
}

void add_rows_spread(const float* x, const int32_t* rows, int64_t count, int64_t dim, const float* weights,
                     const int32_t* codes, const float* centres, double* sums, double* lanes) {
  const int64_t whole = dim / kSpreadLanes * kSpreadLanes;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows[i], k = codes[row];
    const double w = weights ? weights[row] : 1.0;
    for (int64_t d = 0; d < dim; ++d) {
      const double v = x[row * dim + d], t = v - static_cast<double>(centres[k * dim + d]);
      double& lane = lanes[k * 2 * kSpreadLanes + d % kSpreadLanes + (d < whole ? 0 : kSpreadLanes)];
      lane = std::fma(w * t, t, lane);
      sums[k * dim + d] = std::fma(w, v, sums[k * dim + d]);
    }
  }
}

void linear(const float* x, int64_t n, int64_t in, const float* w, int64_t out, const float* bias, float* y) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t o = 0; o < out; ++o) {
      float s = bias ? bias[o] : 0.0f;
      for (int64_t d = 0; d < in; ++d) s = std::fma(x[i * in + d], w[d * out + o], s);
      y[i * out + o] = s;
    }
}

}  // namespace

const QuantKernels* scalar_kernels() {
  static const QuantKernels table = {"scalar", 1,          1,      1,        pack,            assign, top,
                                     squared,  squared_to, scores, add_rows, add_rows_spread, linear, nullptr};
  return &table;
}

}  // namespace vq
