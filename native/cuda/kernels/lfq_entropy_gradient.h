// The gradient of the entropies of lookup-free quantization in one kernel. With G the table of LfqEntropy and P a row's
// distribution, S_j1 the sum of P(c) G(c) over the codes c whose bit j is 1 and S_j0 over the others,
//   d diversity / dz_j = kappa (p(bit j = 0) S_j1 - p(bit j = 1) S_j0) / N,   d entropy / dz_j = -kappa a p0 p1 / N,
// since dp1 = kappa p0 p1 dz, and P(c) is p1 or p0 times the other bits' share: nothing is divided by what may be 0.
//
// A block has 64 rows and one half of a group's bits. It multiplies G by the other half's probabilities, 64 x 64 sums at a
// time, weighs them with its own half's and adds them up by bit. Each sum of 256 codes of the other half is kept apart.
#pragma once
#include "cuda/kernels/lfq_groups.h"

namespace vq::gpu {

struct LfqEntropyGradient {
  static constexpr int kThreads = 256, kBlocksAtOnce = 2, kRows = 64, kPart = 32, kEach = kLfqEach, kAcross = kLfqCodes / kEach;
  static constexpr int kKept = 4;  // tiles whose sum is kept apart
  static constexpr int kPitch = kLfqCodes + 4, kWide = kLfqCodes + 1, kSums = kLfqMostBits + 1;
  struct Shared {
    float p[kRows * kLfqPitch];
    float inner[kLfqEntries][kRows], outer[kLfqEntries][kRows];
    alignas(16) float room[kPart * kRows + kPart * kPitch];  // factors [code][row] and [code][outer code]; then products
    float sums[kRows * kSums];                               // [row][bit][value]
  };
  struct Registers {
    LfqSums product;  // [row][outer code]
  };
  const float* z;
  int64_t n;
  LfqGroups groups;
  float kappa, by_entropy, by_diversity;  // each divided by n already
  const float* table;
  float* out;
  VQ_HD int64_t blocks() const { return ceil_div(n, kRows) * groups.count() * 2; }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const bool lower = block.index() % 2 != 0;
    const int64_t group = block.index() / 2 % groups.count(), first = block.index() / 2 / groups.count() * kRows;
    const int rows = static_cast<int>(least(kRows, n - first)), held = groups.held(group);
    const LfqHalf outer = lower ? groups.low(group) : groups.high(group), inner = lower ? groups.high(group) : groups.low(group);
    if (outer.bits == 0) return;
    // table[outer code, inner code]
    const float* g = table + groups.table(group);
    const int64_t outer_step = lower ? 1 : inner.codes(), inner_step = lower ? outer.codes() : 1;

    block.each([&](int thread, Registers&) {
      for (int i = thread; i < kRows * held; i += kThreads) {
        const int row = i % kRows, bit = i / kRows;
        const float a = row < rows ? log_odds(first + row, group, bit) : 0.0f;
        lfq_probabilities(a, s.p + row * kLfqPitch + 2 * bit);
      }
      for (int i = thread; i < kRows * kSums; i += kThreads) s.sums[i] = 0;
    });
    for (int at = 0; by_diversity != 0 && at < outer.tiles(); ++at) {
      block.each([&](int thread, Registers& r) {
        entries(s, thread, outer, at, s.outer);
        r.product.clear();
      });
      for (int from = 0; from < inner.tiles(); ++from) {
        block.each([&](int thread, Registers&) { entries(s, thread, inner, from, s.inner); });
        const int codes = inner.codes() < kLfqCodes ? inner.codes() : kLfqCodes;
        for (int part = 0; part < codes; part += kPart) {
          const int width = codes - part < kPart ? codes - part : kPart;
          const bool keep = part + kPart >= codes && (from % kKept == kKept - 1 || from == inner.tiles() - 1);
          block.each([&](int thread, Registers&) {
            for (int i = thread; i < kRows * width; i += kThreads) {
              const int row = i % kRows, k = i / kRows, code = part + k;
              s.room[k * kRows + row] = s.inner[code >> 3][row] * s.inner[8 + (code & 7)][row];
            }
            // Neighbours in the table are neighbours in the half that is lower.
            for (int i = thread; i < kLfqCodes * kPart; i += kThreads) {
              const int k = lower ? i / kLfqCodes : i % kPart, o = lower ? i % kLfqCodes : i / kPart;
              if (k >= width) continue;
              const int64_t code = int64_t{at} * kLfqCodes + o;
              s.room[kPart * kRows + k * kPitch + o] =
                  code < outer.codes() ? g[code * outer_step + (int64_t{from} * kLfqCodes + part + k) * inner_step] : 0.0f;
            }
          });
          block.each([&](int thread, Registers& r) {
            const int row = thread / kAcross * kEach, o = thread % kAcross * kEach;
            r.product.add(s.room + row, s.room + kPart * kRows + o, kPitch, width);
            if (keep) r.product.keep();
          });
        }
      }
      block.each([&](int thread, Registers& r) {
        const int row = thread / kAcross * kEach, o = thread % kAcross * kEach;
        VQ_UNROLL
        for (int i = 0; i < kEach; ++i)
          VQ_UNROLL
          for (int j = 0; j < kEach; ++j)
            s.room[(row + i) * kWide + o + j] =
                r.product.total[i][j] * (s.outer[(o + j) >> 3][row + i] * s.outer[8 + ((o + j) & 7)][row + i]);
      });
      block.each([&](int thread, Registers&) { add_by_bit(s, thread, outer, at); });
    }
    block.each([&](int thread, Registers&) {
      for (int i = thread; i < kRows * outer.bits; i += kThreads) {
        const int row = i % kRows, j = i / kRows, bit = outer.first + j;
        if (row >= rows) continue;
        const float *p = s.p + row * kLfqPitch + 2 * bit, *sum = s.sums + row * kSums + 2 * j;
        const float spread = fused(p[0], sum[1], -(p[1] * sum[0])) * by_diversity;
        const float flat = log_odds(first + row, group, bit) * (p[0] * p[1]) * by_entropy;
        out[(first + row) * groups.bits + group * groups.group + bit] = kappa * (spread - flat);
      }
    });
  }

 private:
  VQ_HD float log_odds(int64_t row, int64_t group, int bit) const {
    return lfq_log_odds(kappa, z[row * groups.bits + group * groups.group + bit]);
  }
  VQ_HD static void entries(Shared& s, int thread, const LfqHalf& half, int tile, float (&to)[kLfqEntries][kRows]) {
    for (int i = thread; i < kRows * kLfqEntries; i += kThreads) {
      const int row = i % kRows, e = i / kRows;
      to[e][row] = lfq_entry(s.p + row * kLfqPitch, half, tile, e);
    }
  }
  // A tile's products to the sums of the bits that differ within it, and its total to those of the bits that are its own.
  VQ_HD static void add_by_bit(Shared& s, int thread, const LfqHalf& half, int tile) {
    const int inside = half.inside(), above = half.above(), codes = 1 << inside;
    for (int i = thread; i < kRows * (inside + 1); i += kThreads) {
      const int row = i % kRows, slot = i / kRows, bit = slot < inside ? 1 << (inside - 1 - slot) : 0;
      const float* products = s.room + row * kWide;
      float of[2] = {0, 0};
      for (int c = 0; c < codes; ++c) {
        const float v = products[c];
        of[0] = of[0] + (c & bit ? 0.0f : v);
        of[1] = of[1] + (c & bit ? v : 0.0f);
      }
      float* sums = s.sums + row * kSums;
      if (slot < inside)
        for (int value = 0; value < 2; ++value) sums[2 * (above + slot) + value] += of[value];
      else
        for (int j = 0; j < above; ++j) sums[2 * j + ((tile >> (above - 1 - j)) & 1)] += of[0];
    }
  }
  static_assert(kRows == kLfqCodes && kRows * kWide <= kPart * kRows + kPart * kPitch, "products take the factors' place");
};

}  // namespace vq::gpu
