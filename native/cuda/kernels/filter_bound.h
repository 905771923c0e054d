// How far a score from the tensor cores can be from the contract's, and so which codes may be a row's nearest.
//
// For L2 rows and codes are taken relative to a centre m, for the other metrics the codes alone: x' = x - m (or x), e' = e - m.
// That changes all scores of a row by one amount. With x^, e^ the bfloat16 roundings of x', e' and b' = 1/2 |e'|^2 (L2, else 0)
// the filter's score of code k is t = b' - x^.e^. Up to the common amount it differs from the contract's float32 score s by
//
//   |t - s| <= |x' - x^| |e'| + |x^| |e' - e^|              what rounding to bfloat16 changed (Cauchy-Schwarz)
//            + g (b' + |x^| |e^|) + g (b + |x| |e|) + tiny   what float32 lost, here and in the contract
//
// The norms are measured, not assumed. g = 6.1 (D + 24) 2^-24 covers, with u = 2^-24:
// - x^.e^ on the tensor cores. Products of two bfloat16 are exact in float32. How they are added up NVIDIA does not specify;
//   this is an assumption: a step adds some products to the accumulator, each addend cut to a multiple of 2^-23 of the largest
//   one's power of two, the result cut to 24 bits, both towards zero or to any neighbour. Every product is then an addend once,
//   there are at most D' steps, D' = D rounded up to 16, and in each the accumulator is an addend once and the result cut once
//   (steps of zeros alone, behind the last element of a tile's 64, change nothing: the accumulator has 24 bits already):
//   3 D' errors of at most 2 u times a sum that |x^| |e^| (1 + g) bounds, in whatever order and grouping. Published measurements
//   agree with it: truncation, steps of 4 products without further bits on V100, of 8 with one on A100, of 16 with two on H100,
//   H200 and B200. Sources: Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ Computer
//   Science 7:e330, 2021 (V100, T4, A100); Khattak, Mikaitis, "Accurate models of NVIDIA tensor cores", arXiv 2512.07004, 2025,
//   and its models at github.com/north-numerical-computing/MATLAB-tensor-core. H100 differs from its elders (Li, Li, Fang,
//   Swirydowicz, Laguna, Gopalakrishnan, "FTTN", arXiv 2403.00232, 2024), and so may the next: on-gpu/product_sums.cu
//   tries the assumption on the device at hand.
// - the sum of squares in b', its two factors x' of D + 2 roundings, b' - x^.e^, and t - E, t + E and their comparison below;
// - the contract's score: b and the chain, at most D roundings each, of partial sums that b + |x| |e| bounds.
// tiny = (D + 24) 2^-120 covers results flushed to zero below 2^-126. Inputs flushed there change x^ and e^ by less than
// sqrt(D) 2^-126, squares lost below 2^-149 a norm by less than sqrt(D) 2^-74: the floor inside norm_bound is larger.
//
// E(row, code) collects this as dX A + X B + C, where X >= |x'| and dX >= |x' - x^| are the row's and A, B, C the code's; a
// tile of codes uses the largest of each. The nearest code n of a row obeys t_n - E_n <= s_n <= s_k <= t_k + E_k for every k.
// So what may be nearest, ties among it, are the codes with t - E <= min (t + E).
#pragma once
#include "cuda/contract.h"

namespace vq::gpu {

// Beyond, float32 sums of the bound's own terms come near their end; such rows are scored in full.
constexpr float kFilterLimit = 1e37f;
// g is to stay small: its square is covered by the 6.1 that could be 6.
constexpr int64_t kFilterLongest = 4096;

VQ_HD float float_share(int64_t dim) { return 6.1f * static_cast<float>(dim + 24) * 0x1p-24f; }
VQ_HD float bound_floor(int64_t dim) { return static_cast<float>(dim + 24) * 0x1p-120f; }
constexpr float kUp = 1 + 0x1p-20f;  // more than a handful of roundings

// At least the norm whose square was summed in float32 in any order, of differences that were rounded once.
VQ_HD float norm_bound(float sum, int64_t dim) {
  const float grow = 1 + 2 * static_cast<float>(dim + 4) * 0x1p-24f;
  return root(fused(sum * kUp, grow, static_cast<float>(dim) * 0x1p-140f)) * kUp;
}

struct RowBound {
  float size, change;  // X, dX
};
struct CodeBound {
  float a, b, c;
  float size;  // at least |e|, |e'|, |e^|
};

VQ_HD RowBound row_bound(float squared, float squared_change, int64_t dim) {
  const float x = norm_bound(squared, dim);
  return {x, fused(0x1p-23f, x, norm_bound(squared_change, dim))};
}
// From the squared norms of e', of e' - e^ and of e, and the norm of the centre that rows are relative to.
VQ_HD CodeBound code_bound(Kind kind, float squared, float squared_change, float whole, float shift, int64_t dim) {
  const float g = float_share(dim), p = norm_bound(squared, dim), w = norm_bound(whole, dim);
  const float q = fused(0x1p-23f, p, norm_bound(squared_change, dim)), rounded = p + q;
  CodeBound c;
  c.a = rounded * (1 + g) * kUp;
  c.b = (q + g * (rounded + w)) * kUp;
  c.c = ((kind == Kind::kL2 ? g * (0.5f * (p * p + w * w) + shift * w) : 0.0f) + bound_floor(dim)) * kUp;
  c.size = rounded < w ? w : rounded;
  if (!finite(c.size)) c.size = infinity();
  return c;
}
// Whether no float32 sum of this row can overflow: `widest` is the largest code's size.
VQ_HD bool has_bound(const RowBound& row, float widest, float shift) {
  return (row.size + row.change + shift) * widest + widest * widest < kFilterLimit;
}
VQ_HD float room_of(const RowBound& row, const CodeBound& code) {
  return fused(row.change, code.a, fused(row.size, code.b, code.c)) * kUp;
}

}  // namespace vq::gpu
