// Products of few rows with a matrix that is read once from where it lies: with one row memory sets the pace, with many the
// multiply-adds do.
#include "cpu/row_product.h"

#include <algorithm>
#include <cmath>

#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/row_product.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

#ifndef VQ_ROW_PRODUCT_ONCE
#define VQ_ROW_PRODUCT_ONCE
namespace vq {

struct RowProduct {
  const float* x;
  int64_t in;
  const float* w;
  int64_t out;
  const float* bias;
  bool add;
  float* y;
};

}  // namespace vq
#endif  // VQ_ROW_PRODUCT_ONCE

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

// One rounding on every machine: Highway's scalar target has two.
HWY_INLINE VF fused(VF a, VF b, VF c) {
#if HWY_TARGET == HWY_SCALAR
  return set(std::fma(hn::GetLane(a), hn::GetLane(b), hn::GetLane(c)));
#else
  return hn::MulAdd(a, b, c);
#endif
}

// kRows rows from `row` on by kVectors vectors of columns from `column` on; with kWhole false the one vector has `count` columns.
template <int kRows, int kVectors, bool kWhole = true>
HWY_INLINE void tile(const RowProduct& p, int64_t row, int64_t column, int64_t count) {
  static_assert(kWhole || kVectors == 1, "the last, incomplete vector comes alone");
  const int64_t step = lanes();
  const auto at = [&](const float* from, int v) HWY_ATTR {
    return kWhole ? load(from + v * step) : load_part(from, count);
  };
  VF sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sums[r][v] = zero();
  const float *x = p.x + row * p.in, *w = p.w + column;
  for (int64_t k = 0; k < p.in; ++k, w += p.out) {
    VF weights[kVectors];
    for (int v = 0; v < kVectors; ++v) weights[v] = at(w, v);
    for (int r = 0; r < kRows; ++r) {
      const VF factor = set(x[r * p.in + k]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = fused(factor, weights[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* y = p.y + (row + r) * p.out + column;
    for (int v = 0; v < kVectors; ++v) {
      VF s = sums[r][v];
      if (p.bias) s = hn::Add(s, at(p.bias + column, v));
      if (p.add) s = hn::Add(at(y, v), s);
      if (kWhole) store(s, y + v * step);
      else store_part(s, y, count);
    }
  }
}

template <int kRows, int kVectors>
void columns(const RowProduct& p, int64_t row, int64_t begin, int64_t end) {
  const int64_t step = lanes();
  int64_t c = begin;
  for (; c + kVectors * step <= end; c += kVectors * step) tile<kRows, kVectors>(p, row, c, step);
  for (; c + step <= end; c += step) tile<kRows, 1>(p, row, c, step);
  if (c < end) tile<kRows, 1, false>(p, row, c, end - c);
}

// Vector registers hold the sums: 32 of them on the widest machines, else 16.
constexpr int kMost = HWY_TARGET <= HWY_AVX3 ? 8 : 4;

}  // namespace

void row_product_part(const RowProduct& p, int64_t rows, int64_t begin, int64_t end) {
  // Columns in panels that stay near while all rows pass.
  const int64_t panel = 2 * lanes();
  int64_t done = rows / kMost * kMost;
  if (done > 0)
    for (int64_t c = begin; c < end; c += panel)
      for (int64_t r = 0; r < done; r += kMost) columns<kMost, 2>(p, r, c, std::min(end, c + panel));
  for (; done + 4 <= rows; done += 4) columns<4, 2>(p, done, begin, end);
  for (; done + 2 <= rows; done += 2) columns<2, 4>(p, done, begin, end);
  if (done < rows) columns<1, 8>(p, done, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(row_product_part);

void row_product(const float* x, int64_t rows, int64_t in, const float* w, int64_t out, const float* bias, bool add, float* y,
                 int threads) {
  if (rows <= 0 || out <= 0) return;
  const RowProduct p{x, in, w, out, bias, add, y};
  constexpr int64_t kBlock = 64;
  const int64_t blocks = (out + kBlock - 1) / kBlock, work = std::max<int64_t>(1, rows * in * kBlock);
  parallel_for(blocks, std::max<int64_t>(1, (1 << 19) / work), threads, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(row_product_part)(p, rows, b * kBlock, std::min(out, e * kBlock));
  });
}

}  // namespace vq
#endif  // HWY_ONCE
