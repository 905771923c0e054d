// What kernels/filter_bound.h takes of the tensor cores, tried on a device: sums of products of bfloat16 that are as hard to
// add as can be, beside float64. The worst error comes out as a share of the one that the bound allows.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/kernels/filter_tiles.h"
#include "cuda/machine_arrays.h"
#include "vq/philox.h"

namespace vq_test {

// A warp per block: 16 rows times 8 codes, by mma.m16n8k16 along their elements.
struct ProductSums {
  static constexpr int kThreads = 32, kRows = 16, kCodes = 8, kStep = 16;
  using Shared = vq::gpu::Nothing;
  struct Registers {
    float sum[4];
    uint32_t row[4], code[2];
  };
  const uint16_t *rows, *codes;  // [tiles, 16, depth], [tiles, 8, depth]
  int64_t tiles, depth;          // a multiple of 16
  float* sums;                   // [tiles, 16, 8]
  VQ_HD int64_t blocks() const { return tiles; }
  template <class Block>
  VQ_HD void run(Block& block) const {
    const uint16_t *x = rows + block.index() * kRows * depth, *e = codes + block.index() * kCodes * depth;
    float* out = sums + block.index() * kRows * kCodes;
    block.warps([&](int, auto& lanes) {
      lanes.each([&](int, Registers& r) {
        for (float& s : r.sum) s = 0;
      });
      for (int64_t from = 0; from < depth; from += kStep) {
        lanes.each([&](int lane, Registers& r) {
          const int line = lane / 4;
          const int64_t at = from + lane % 4 * 2;
          for (int i = 0; i < 4; ++i) r.row[i] = pair(x + (line + i % 2 * 8) * depth + at + i / 2 * 8);
          for (int i = 0; i < 2; ++i) r.code[i] = pair(e + line * depth + at + i * 8);
        });
        lanes.multiply([](Registers& r) { return r.sum; }, [](Registers& r) { return r.row; }, [](Registers& r) { return r.code; });
      }
      lanes.each([&](int lane, Registers& r) {
        for (int i = 0; i < 4; ++i) out[(lane / 4 + i / 2 * 8) * kCodes + lane % 4 * 2 + i % 2] = r.sum[i];
      });
    });
  }
  VQ_HD static uint32_t pair(const uint16_t* p) { return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 16; }
};

// Elements x and e of one product.
inline void hard_product(int kind, int64_t i, vq::Philox& random, float& x, float& e) {
  x = static_cast<float>(random.normal()), e = static_cast<float>(random.normal());
  switch (kind) {
    case 1: x = std::fabs(x), e = std::fabs(e); break;                        // errors of one sign
    case 2: x = std::ldexp(x, static_cast<int>(random.below(30)) - 15); break; // of every size
    case 3:                                                                    // one large, the others just lost beside it
      x = i == 0 ? 1.0f : 1.9921875f * 0x1p-12f, e = i == 0 ? 1.0f : 1.9921875f * 0x1p-13f;
      break;
    case 4:  // large ones that cancel in pairs, small ones between
      if (i % 4 < 2) x = i % 4 == 0 ? 256.0f : -256.0f, e = 1.0f;
      else x = x * 0x1p-8f;
      break;
    case 5: x = i % 16 == 15 ? 1.0f : std::ldexp(std::fabs(x), -20), e = std::fabs(e); break;  // the largest last
    default: break;
  }
}
constexpr int kHardProducts = 6;

// |sum - exact| / (3 D 2 u sum |products|), the largest; infinity where a sum is not a number.
inline double share_of_bound(const std::vector<uint16_t>& rows, const std::vector<uint16_t>& codes, int64_t tiles, int64_t depth,
                             const std::vector<float>& sums) {
  double worst = 0;
  for (int64_t i = 0; i < tiles * ProductSums::kRows * ProductSums::kCodes; ++i) {
    const int64_t tile = i / (ProductSums::kRows * ProductSums::kCodes), row = i / ProductSums::kCodes, code = i % ProductSums::kCodes;
    const uint16_t *x = rows.data() + row * depth, *e = codes.data() + (tile * ProductSums::kCodes + code) * depth;
    double exact = 0, size = 0;
    for (int64_t d = 0; d < depth; ++d) {
      const double p = static_cast<double>(vq::gpu::of_bf16(x[d])) * static_cast<double>(vq::gpu::of_bf16(e[d]));
      exact += p, size += std::fabs(p);
    }
    const double share = std::fabs(sums[i] - exact) / (6 * static_cast<double>(depth) * 0x1p-24 * size + 1e-300);
    worst = share <= worst ? worst : std::isnan(share) ? INFINITY : share;
  }
  return worst;
}

struct WorstSum {
  double share;
  int kind;
  int64_t depth;
};

template <class M>
WorstSum worst_sum(M& m, int64_t tiles, const std::vector<int64_t>& depths) {
  WorstSum worst{0, 0, 0};
  vq::Philox random(31);
  for (int64_t depth : depths)
    for (int kind = 0; kind < kHardProducts; ++kind) {
      std::vector<uint16_t> x(tiles * ProductSums::kRows * depth), e(tiles * ProductSums::kCodes * depth);
      for (size_t i = 0; i < x.size(); ++i) {
        float row, code;
        hard_product(kind, static_cast<int64_t>(i) % depth, random, row, code);
        x[i] = vq::gpu::to_bf16(row);
        if (i < e.size()) e[i] = vq::gpu::to_bf16(code);
      }
      vq::gpu::Array<M, uint16_t> rows(m, static_cast<int64_t>(x.size())), codes(m, static_cast<int64_t>(e.size()));
      vq::gpu::Array<M, float> sums(m, tiles * ProductSums::kRows * ProductSums::kCodes);
      vq::gpu::put(m, rows.data(), x.data(), static_cast<int64_t>(x.size()));
      vq::gpu::put(m, codes.data(), e.data(), static_cast<int64_t>(e.size()));
      m.launch(ProductSums{rows.data(), codes.data(), tiles, depth, sums.data()});
      const double share = share_of_bound(x, e, tiles, depth, vq::gpu::fetch(m, sums.data(), tiles * ProductSums::kRows * ProductSums::kCodes));
      if (!(share <= worst.share)) worst = {share, kind, depth};
    }
  return worst;
}

}  // namespace vq_test
