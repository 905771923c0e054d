// The entropy terms of lookup-free quantization and their gradient. Yu et al. 2023, https://arxiv.org/abs/2310.05737,
// equation 6: E[H(p(z))] - H(E[p(z)]), p(z) the distribution over the 2^b codes. It is a product over the bits, with
// p(bit j = 1) = s(a_j), a = kappa z, s the logistic function. So H(p(z)) is the sum of the bits' entropies. E[p(z)] is no
// product; but each p(z) is the outer product of the distributions of its upper and lower half of the bits, whence
//   E[p] = P_high^T P_low / N,   P_high [N, 2^(b/2)], P_low [N, 2^(b/2)],
// made block by block of rows: nothing of N x 2^b ever exists. Back, with G = dH(E[p])/dE[p] = -(log E[p] + 1), a row's
// gradient by P_high is G P_low (and the other way round), which a binary tree takes on to the single bits.
// Zhao et al. 2024, https://arxiv.org/abs/2406.07548, section 3: with many bits, groups of them count as independent.
#include <algorithm>
#include <cmath>
#include <vector>

#include "vq/codes.h"
#include "vq/op.h"
#include "vq/scratch.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/lfq_entropy.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

#ifndef VQ_LFQ_ENTROPY_ONCE
#define VQ_LFQ_ENTROPY_ONCE
namespace vq {

// One group of bits: `first` is its first bit of the row's `bits`.
struct LfqGroup {
  int64_t bits, first, high, low;
  int64_t high_codes() const { return int64_t{1} << high; }
  int64_t low_codes() const { return int64_t{1} << low; }
  int64_t size() const { return int64_t{1} << (high + low); }
};

// Rows side by side: element r of a row of length kLfqRows-or-less belongs to row r of the block.
struct LfqSpace {
  LfqSpace(const LfqGroup& g, int64_t block, bool back)
      : block(block), p(2 * (g.high + g.low) * block), trees((back ? 2 : 1) * 2 * (g.high_codes() + g.low_codes()) * block),
        slopes((g.high + g.low) * block) {}
  int64_t block;
  Scratch<float> p;       // [bits, 2, block]: probabilities of 0 and of 1
  Scratch<float> trees;   // heaps of products, of the upper and of the lower bits: node i has children 2i and 2i + 1
  Scratch<float> slopes;  // [bits, block]
};

}  // namespace vq
#endif

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

// Probabilities of the bits of `count` rows, zero rows up to the block's end.
void probabilities(const float* z, const LfqGroup& g, int64_t count, float kappa, LfqSpace& s) {
  const int64_t bits = g.high + g.low, b = s.block, step = lanes();
  const VF k = set(kappa), one = set(1.0f);
  for (int64_t j = 0; j < bits; ++j) {
    float *zero_p = s.p.data() + 2 * j * b, *one_p = zero_p + b;
    for (int64_t r = 0; r < b; ++r) one_p[r] = r < count ? z[r * g.bits + g.first + j] : 0.0f;
    for (int64_t r = 0; r < b; r += step) {
      const VF a = hn::Mul(k, load(one_p + r));
      const VF e = exp_negative(hn::Neg(hn::Abs(a))), larger = hn::Div(one, hn::Add(one, e)), smaller = hn::Mul(e, larger);
      const auto up = hn::Gt(a, zero());
      store(hn::IfThenElse(up, larger, smaller), one_p + r);
      store(hn::IfThenElse(up, smaller, larger), zero_p + r);
    }
  }
}

// Fills the heap of products of `bits` bits from `p` on; its root is 1 for rows that are there, else 0.
void products(const float* p, int64_t bits, int64_t count, int64_t b, float* heap) {
  const int64_t step = lanes();
  for (int64_t r = 0; r < b; ++r) heap[b + r] = r < count ? 1.0f : 0.0f;
  for (int64_t j = 0; j < bits; ++j)
    for (int64_t node = int64_t{1} << j; node < int64_t{2} << j; ++node)
      for (int64_t r = 0; r < b; r += step) {
        const VF v = load(heap + node * b + r);
        store(hn::Mul(v, load(p + 2 * j * b + r)), heap + 2 * node * b + r);
        store(hn::Mul(v, load(p + (2 * j + 1) * b + r)), heap + (2 * node + 1) * b + r);
      }
}

// sums[h, l] += sum over rows of high[h] low[l].
template <int H, int L>
HWY_INLINE void outer_tile(const float* high, const float* low, int64_t b, float* sums, int64_t pitch) {
  const int64_t step = lanes();
  VF acc[H][L];
#pragma GCC unroll 4
  for (int i = 0; i < H; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < L; ++j) acc[i][j] = zero();
  for (int64_t r = 0; r < b; r += step) {
    VF y[L];
#pragma GCC unroll 4
    for (int j = 0; j < L; ++j) y[j] = load(low + j * b + r);
#pragma GCC unroll 4
    for (int i = 0; i < H; ++i) {
      const VF x = load(high + i * b + r);
#pragma GCC unroll 4
      for (int j = 0; j < L; ++j) acc[i][j] = hn::MulAdd(x, y[j], acc[i][j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < H; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < L; ++j) sums[i * pitch + j] += sum(acc[i][j]);
}
template <int H>
void outer_rows(const float* high, const float* low, const LfqGroup& g, int64_t b, float* sums) {
  const int64_t l = g.low_codes();
  if (l == 1) return outer_tile<H, 1>(high, low, b, sums, l);
  if (l == 2) return outer_tile<H, 2>(high, low, b, sums, l);
  for (int64_t j = 0; j < l; j += 4) outer_tile<H, 4>(high, low + j * b, b, sums + j, l);
}

// out[k, rows] = sum over m of g[k * outer_step + m * inner_step] p[m, rows], for K values of k from `out` on.
template <int K>
HWY_INLINE void product_tile(const float* g, int64_t outer_step, int64_t inner_step, const float* p, int64_t inner, int64_t b,
                             float* out) {
  const int64_t step = lanes();
  const auto run = [&](int64_t r, auto width) HWY_ATTR {
    constexpr int V = decltype(width)::value;
    VF acc[K][V];
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[k][v] = zero();
    for (int64_t m = 0; m < inner; ++m) {
      VF x[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) x[v] = load(p + m * b + r + v * step);
#pragma GCC unroll 4
      for (int k = 0; k < K; ++k) {
        const VF c = set(g[k * outer_step + m * inner_step]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[k][v] = hn::MulAdd(c, x[v], acc[k][v]);
      }
    }
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(acc[k][v], out + k * b + r + v * step);
  };
  int64_t r = 0;
  for (; r + 4 * step <= b; r += 4 * step) run(r, std::integral_constant<int, 4>());
  for (; r < b; r += step) run(r, std::integral_constant<int, 1>());
}
void half_gradient(const float* g, int64_t outer, int64_t outer_step, int64_t inner_step, const float* p, int64_t inner,
                   int64_t b, float* out) {
  if (outer == 1) return product_tile<1>(g, outer_step, inner_step, p, inner, b, out);
  if (outer == 2) return product_tile<2>(g, outer_step, inner_step, p, inner, b, out);
  for (int64_t k = 0; k < outer; k += 4)
    product_tile<4>(g + k * outer_step, outer_step, inner_step, p, inner, b, out + k * b);
}

// From the gradient by the leaves (in `back`, behind as many inner nodes) to that by each bit's probability of 1.
void descend(const float* p, int64_t bits, int64_t b, const float* heap, float* back, float* slopes) {
  const int64_t step = lanes();
  for (int64_t j = bits - 1; j >= 0; --j)
    for (int64_t r = 0; r < b; r += step) {
      const VF p0 = load(p + 2 * j * b + r), p1 = load(p + (2 * j + 1) * b + r);
      VF total = zero();
      for (int64_t node = int64_t{1} << j; node < int64_t{2} << j; ++node) {
        const VF a0 = load(back + 2 * node * b + r), a1 = load(back + (2 * node + 1) * b + r);
        total = hn::MulAdd(load(heap + node * b + r), hn::Sub(a1, a0), total);
        store(hn::MulAdd(p0, a0, hn::Mul(p1, a1)), back + node * b + r);
      }
      store(total, slopes + j * b + r);
    }
}

}  // namespace

// Adds the sum of the rows' entropies, in nats, to `entropy`, and their outer products to `sums`.
void lfq_forward(const float* z, const LfqGroup& g, int64_t count, float kappa, LfqSpace& s, double& entropy, float* sums) {
  const int64_t bits = g.high + g.low, b = s.block, step = lanes();
  probabilities(z, g, count, kappa, s);
  VF total = zero();
  for (int64_t j = 0; j < bits; ++j)
    for (int64_t r = 0; r < count; r += step) {
      // -log of the larger probability is log(1 + e^-|a|): exact where both are there, and |a| = log(larger / smaller).
      const VF p0 = load(s.p.data() + 2 * j * b + r), p1 = load(s.p.data() + (2 * j + 1) * b + r);
      const VF tiny = set(1e-38f);
      const VF h = hn::Neg(hn::MulAdd(p0, log(hn::Max(p0, tiny)), hn::Mul(p1, log(hn::Max(p1, tiny)))));
      total = hn::Add(total, keep_first(h, HWY_MIN(step, count - r)));
    }
  entropy += sum(total);
  float *high = s.trees.data(), *low = high + 2 * g.high_codes() * b;
  products(s.p.data(), g.high, count, b, high);
  products(s.p.data() + 2 * g.high * b, g.low, b, b, low);
  const float *h = high + g.high_codes() * b, *l = low + g.low_codes() * b;
  if (g.high_codes() == 2) return outer_rows<2>(h, l, g, b, sums);
  for (int64_t i = 0; i < g.high_codes(); i += 4) outer_rows<4>(h + i * b, l, g, b, sums + i * g.low_codes());
}

// dz = by_entropy dH/dz + by_diversity dz of the diversity, whose gradient by E[p] is `slope` [2^b].
void lfq_backward(const float* z, const LfqGroup& g, int64_t count, float kappa, float by_entropy, float by_diversity,
                  const float* slope, LfqSpace& s, float* dz) {
  const int64_t bits = g.high + g.low, b = s.block, step = lanes(), hc = g.high_codes(), lc = g.low_codes();
  probabilities(z, g, count, kappa, s);
  float *high = s.trees.data(), *low = high + 2 * hc * b, *back_high = low + 2 * lc * b, *back_low = back_high + 2 * hc * b;
  if (by_diversity != 0) {
    products(s.p.data(), g.high, b, b, high);
    products(s.p.data() + 2 * g.high * b, g.low, b, b, low);
    half_gradient(slope, hc, lc, 1, low + lc * b, lc, b, back_high + hc * b);
    half_gradient(slope, lc, 1, lc, high + hc * b, hc, b, back_low + lc * b);
    descend(s.p.data(), g.high, b, high, back_high, s.slopes.data());
    descend(s.p.data() + 2 * g.high * b, g.low, b, low, back_low, s.slopes.data() + g.high * b);
  }
  for (int64_t j = 0; j < bits; ++j) {
    float *p0 = s.p.data() + 2 * j * b, *p1 = p0 + b, *slopes = s.slopes.data() + j * b;
    for (int64_t r = 0; r < b; r += step) {
      const VF x = load(p0 + r), y = load(p1 + r), tiny = set(1e-38f);
      const VF variance = hn::Mul(hn::Mul(x, y), set(kappa));
      // dH/dp = log(p0 / p1) = -a.
      VF v = hn::Mul(set(by_entropy), hn::Sub(log(hn::Max(x, tiny)), log(hn::Max(y, tiny))));
      if (by_diversity != 0) v = hn::MulAdd(set(by_diversity), load(slopes + r), v);
      store(hn::Mul(v, variance), slopes + r);
    }
    for (int64_t r = 0; r < count; ++r) dz[r * g.bits + g.first + j] = slopes[r];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(lfq_forward);
HWY_EXPORT(lfq_backward);

namespace {

constexpr int64_t kMostBits = 26;  // of a group: its table has 2^26 floats, as many sums to a thread

std::vector<LfqGroup> groups_of(int64_t bits, int64_t group) {
  if (bits < 1 || bits > 4096 || group < 1 || group > kMostBits) fail(Error::kConfig, "bits or group are out of range");
  std::vector<LfqGroup> all;
  for (int64_t first = 0; first < bits; first += group) {
    const int64_t held = std::min(group, bits - first);
    all.push_back({bits, first, (held + 1) / 2, held / 2});
  }
  return all;
}
int64_t table_size(const std::vector<LfqGroup>& groups) {
  int64_t n = 0;
  for (const LfqGroup& g : groups) n += g.size();
  return n;
}
// A block's trees are to stay in the second-level cache.
int64_t block_of(const LfqGroup& g, bool back) {
  const int64_t most = (back ? 32768 : 262144) / (g.high_codes() + g.low_codes());
  return std::max<int64_t>(64, std::min<int64_t>(1024, most)) / 64 * 64;
}
// Parts of the rows that are summed apart, and then in order: their number hangs on the sizes alone.
int64_t parts_of(int64_t n, const LfqGroup& g, int64_t block) {
  const int64_t most = std::max<int64_t>(2, std::min<int64_t>(64, (int64_t{1} << 22) / g.size()));
  return std::max<int64_t>(1, std::min(most, (n + block - 1) / block));
}

}  // namespace

int64_t lfq_table_size(int64_t bits, int64_t group) { return table_size(groups_of(bits, group)); }

void lfq_entropy(const float* z, int64_t n, int64_t bits, int64_t group, float kappa, float* entropy, float* diversity,
                 float* table, const CallOptions& options) {
  const std::vector<LfqGroup> groups = groups_of(bits, group);
  double of_rows = 0, of_mean = 0;
  for (const LfqGroup& g : groups) {
    const int64_t block = block_of(g, false), parts = parts_of(n, g, block), blocks = (n + block - 1) / block;
    Scratch<float> sums(static_cast<size_t>(parts * g.size()));
    std::vector<double> entropies(parts, 0.0);
    parallel_for(parts, 1, n * bits < 4096 ? 1 : options.threads, [&](int64_t begin, int64_t end) {
      LfqSpace space(g, block, false);
      for (int64_t part = begin; part < end; ++part) {
        float* mine = sums.data() + part * g.size();
        std::fill(mine, mine + g.size(), 0.0f);
        for (int64_t k = blocks * part / parts; k < blocks * (part + 1) / parts; ++k) {
          const int64_t first = k * block;
          HWY_DYNAMIC_DISPATCH(lfq_forward)
          (z + first * bits, g, std::min(block, n - first), kappa, space, entropies[part], mine);
        }
      }
    });
    for (const double e : entropies) of_rows += e;
    for (int64_t c = 0; c < g.size(); ++c) {
      double total = 0;
      for (int64_t part = 0; part < parts; ++part) total += sums[part * g.size() + c];
      // A code that no row can mean has neither a part in the entropy nor a finite slope.
      const double p = std::max(total / static_cast<double>(n), 1e-38), slope = std::log(p);
      of_mean -= p * slope;
      table[c] = static_cast<float>(-(slope + 1));
    }
    table += g.size();
  }
  *entropy = static_cast<float>(of_rows / static_cast<double>(n));
  *diversity = static_cast<float>(of_mean);
}

void lfq_entropy_gradient(const float* z, int64_t n, int64_t bits, int64_t group, float kappa, float by_entropy,
                          float by_diversity, const float* table, float* dz, const CallOptions& options) {
  const std::vector<LfqGroup> groups = groups_of(bits, group);
  const float e = by_entropy / static_cast<float>(n), d = by_diversity / static_cast<float>(n);
  for (const LfqGroup& g : groups) {
    const int64_t block = block_of(g, true), blocks = (n + block - 1) / block;
    parallel_for(blocks, 1, n * bits < 4096 ? 1 : options.threads, [&](int64_t begin, int64_t end) {
      LfqSpace space(g, block, true);
      for (int64_t k = begin; k < end; ++k) {
        const int64_t first = k * block;
        HWY_DYNAMIC_DISPATCH(lfq_backward)
        (z + first * bits, g, std::min(block, n - first), kappa, e, d, table, space, dz + first * bits);
      }
    });
    table += g.size();
  }
}

// Arguments: rows, bits, group, kappa, z; the mean entropy of a row [1], the entropy of the mean distribution [1], tables.
VQ_OP(LfqEntropy) {
  const int64_t n = args.integer(), bits = args.integer(), group = args.integer();
  const float kappa = args.real();
  const int64_t size = lfq_table_size(bits, group);
  if (n < 1 || n > (int64_t{1} << 40)) fail(Error::kShape, "a number of rows is out of range");
  const float* z = args.tensor<float>(n * bits);
  float *entropy = args.tensor<float>(1), *diversity = args.tensor<float>(1);
  lfq_entropy(z, n, bits, group, kappa, entropy, diversity, args.tensor<float>(size), {args.ctx.threads});
}

// Arguments: rows, bits, group, kappa, z, the gradients by the two entropies [1] each, the tables; dz.
VQ_OP(LfqEntropyGrad) {
  const int64_t n = args.integer(), bits = args.integer(), group = args.integer();
  const float kappa = args.real();
  const int64_t size = lfq_table_size(bits, group);
  if (n < 1 || n > (int64_t{1} << 40)) fail(Error::kShape, "a number of rows is out of range");
  const float* z = args.tensor<float>(n * bits);
  const float *by_entropy = args.tensor<float>(1), *by_diversity = args.tensor<float>(1);
  const float* table = args.tensor<float>(size);
  lfq_entropy_gradient(z, n, bits, group, kappa, *by_entropy, *by_diversity, table, args.tensor<float>(n * bits),
                       {args.ctx.threads});
}

}  // namespace vq
#endif  // HWY_ONCE
