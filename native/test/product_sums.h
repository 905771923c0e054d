// What kernels/filter_bound.h takes of the tensor cores, tried on a device: sums of products of bfloat16 that are as hard to
// add as can be, beside float64. The worst error comes out as a share of the one that the bound allows.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "cuda/kernels/filter_scan.h"
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

// The same of what scan(arrays) adds up, FilterScan or as good: tiles of one code each and a bound of nothing, so that a row's
// smallest upper bound is its score, the sum with the other sign.
template <class M, class Scan>
WorstSum worst_scanned_sum(M& m, int64_t row_tiles, int64_t codes, const std::vector<int64_t>& depths, Scan&& scan) {
  namespace gpu = vq::gpu;
  const int64_t n = row_tiles * gpu::kTileRows, positions = codes * gpu::kTileRows;
  std::vector<float> biases(positions, INFINITY);
  for (int64_t k = 0; k < codes; ++k) biases[k * gpu::kTileRows] = 0;
  const gpu::FilterCommon all{0, gpu::rank_of(1.0f)};
  gpu::Array<M, float> zeros(m, n), bias(m, positions);
  gpu::Array<M, gpu::CodeBound> bounds(m, codes);
  gpu::Array<M, gpu::FilterCommon> common(m, 1);
  gpu::Array<M, gpu::Candidate> listed(m, n * codes * gpu::kListed);
  gpu::Array<M, int32_t> counts(m, n * codes), least(m, n * codes);
  gpu::put(m, zeros.data(), std::vector<float>(n, 0.0f).data(), n);
  gpu::put(m, bias.data(), biases.data(), positions);
  gpu::put(m, bounds.data(), std::vector<gpu::CodeBound>(codes, {0, 0, 0, 1}).data(), codes);
  gpu::put(m, common.data(), &all, 1);
  WorstSum worst{0, 0, 0};
  vq::Philox random(32);
  for (int64_t depth : depths)
    for (int kind = 0; kind < kHardProducts; ++kind) {
      const int64_t parts = gpu::parts_of(depth);
      std::vector<uint16_t> x(row_tiles * parts * gpu::kTileElements, 0), e(codes * parts * gpu::kTileElements, 0);
      std::vector<double> rows(n * depth), factors(codes * depth);
      const auto place = [&](int64_t tile, int row, int64_t d) {
        return gpu::tile_at(tile, d / gpu::kTileDepth, parts) + gpu::in_tile(row, static_cast<int>(d % gpu::kTileDepth));
      };
      for (int64_t i = 0; i < n * depth || i < codes * depth; ++i) {
        const int64_t at = i / depth, d = i % depth;
        float row, code;
        hard_product(kind, d, random, row, code);
        if (at < n) {
          const uint16_t v = x[place(at / gpu::kTileRows, static_cast<int>(at % gpu::kTileRows), d)] = gpu::to_bf16(row);
          rows[i] = gpu::of_bf16(v);
        }
        if (at < codes) factors[i] = gpu::of_bf16(e[place(at, 0, d)] = gpu::to_bf16(code));
      }
      gpu::Array<M, uint16_t> row_elements(m, static_cast<int64_t>(x.size())), code_elements(m, static_cast<int64_t>(e.size()));
      gpu::put(m, row_elements.data(), x.data(), static_cast<int64_t>(x.size()));
      gpu::put(m, code_elements.data(), e.data(), static_cast<int64_t>(e.size()));
      scan(gpu::ScanArrays{row_elements.data(), zeros.data(), zeros.data(), n, row_tiles, depth, code_elements.data(), bias.data(),
                           bounds.data(), common.data(), codes, codes, listed.data(), counts.data(), least.data()});
      const std::vector<int32_t> scores = gpu::fetch(m, least.data(), n * codes);
      for (int64_t i = 0; i < n * codes; ++i) {
        const double *a = rows.data() + i / codes * depth, *b = factors.data() + i % codes * depth;
        double exact = 0, size = 0;
        for (int64_t d = 0; d < depth; ++d) exact += a[d] * b[d], size += std::fabs(a[d] * b[d]);
        const double off = std::fabs(-static_cast<double>(gpu::of_rank(scores[i])) - exact);
        const double share = off / (6 * static_cast<double>(depth) * 0x1p-24 * size + 1e-300);
        if (!(share <= worst.share)) worst = {std::isnan(share) ? INFINITY : share, kind, depth};
      }
    }
  return worst;
}

}  // namespace vq_test
