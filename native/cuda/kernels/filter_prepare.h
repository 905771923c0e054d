// What the filter reads instead of rows and codes: tiles of bfloat16, and the norms that its bound is made of.
#pragma once
#include "cuda/block.h"
#include "cuda/kernels/filter_bound.h"
#include "cuda/kernels/filter_tiles.h"

namespace vq::gpu {

// What all codes have in common; on the device.
struct FilterCommon {
  float shift;     // norm of the centre that rows are relative to
  int32_t widest;  // rank of the largest size of a code
};

// The mean of some codes: any point is a valid centre.
struct FilterCentre {
  static constexpr int64_t kCodes = 64;
  const float *codes, *norms;  // norms: divide by them, or null
  int64_t k, dim;
  float* centre;
  VQ_HD void operator()(int64_t d) const {
    const int64_t step = k > kCodes ? k / kCodes : 1;
    float sum = 0;
    int64_t used = 0;
    for (int64_t i = 0; i < k; i += step, ++used) {
      const float e = codes[i * dim + d];
      sum += norms ? unit_element(e, norms[i]) : e;
    }
    centre[d] = quotient(sum, static_cast<float>(used));
  }
};

// Rows in tiles, and per position the squared norms of the row as it is, less the centre, and of what rounding changed.
// Positions without a row hold zeros.
struct RoundRows {
  static constexpr int kThreads = 256, kBlocksAtOnce = 4, kAcross = kTileDepth / kChunk, kAtOnce = kThreads / kAcross;
  static constexpr int kEach = kTileRows / kAtOnce;  // rows that a thread has an eighth of
  struct Shared {
    float whole[kTileRows][kAcross + 1], squared[kTileRows][kAcross + 1], change[kTileRows][kAcross + 1];
  };
  using Registers = Nothing;

  const float* x;
  const float* norms;   // divide by them, or null
  const float* centre;  // subtract it, or null
  int64_t n, dim, tiles;
  bool dealt;           // positions are those of codes
  uint16_t* out;
  float *whole, *squared, *change;  // [tiles * kTileRows]; whole may be null
  int64_t blocks() const { return tiles; }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t tile = block.index(), parts = parts_of(dim);
    block.each([&](int thread, Nothing&) {
      const int chunk = thread % kAcross;
      VQ_NO_UNROLL
      for (int i = 0; i < kEach; ++i) {
        const int row = i * kAtOnce + thread / kAcross;
        const int64_t from = row_at(tile, row);
        Sums sums = {0, 0, 0};
        VQ_NO_UNROLL
        for (int64_t part = 0; part < parts; ++part)
          *reinterpret_cast<Chunk*>(out + tile_at(tile, part, parts) + in_tile(row, chunk * kChunk)) =
              chunk_of(from, part * kTileDepth + chunk * kChunk, sums);
        s.whole[row][chunk] = sums.whole, s.squared[row][chunk] = sums.squared, s.change[row][chunk] = sums.change;
      }
    });
    block.each([&](int thread, Nothing&) {
      if (thread >= kTileRows) return;
      const int64_t at = tile * kTileRows + thread;
      if (whole) whole[at] = total(s.whole[thread]);
      squared[at] = total(s.squared[thread]), change[at] = total(s.change[thread]);
    });
  }

 private:
  struct alignas(16) Elements {
    float at[kChunk];
  };
  struct Sums {
    float whole, squared, change;
  };
  VQ_HD static float total(const float* parts) {
    float sum = 0;
    for (int i = 0; i < kAcross; ++i) sum += parts[i];
    return sum;
  }
  VQ_HD int64_t row_at(int64_t tile, int row) const {
    const int64_t position = tile * kTileRows + row;
    return dealt ? code_at(position, tiles) : position;
  }
  VQ_HD Chunk chunk_of(int64_t row, int64_t depth, Sums& sums) const {
    Chunk chunk;
    const float* from = x + row * dim + depth;
    Elements held = {};
    if (row < n && depth + kChunk <= dim && reinterpret_cast<uintptr_t>(from) % alignof(Elements) == 0) {
      held = *reinterpret_cast<const Elements*>(from);
    } else {
      VQ_UNROLL
      for (int j = 0; j < kChunk; ++j)
        if (row < n && depth + j < dim) held.at[j] = from[j];
    }
    VQ_UNROLL
    for (int j = 0; j < kChunk; ++j) {
      float v = held.at[j];
      if (row < n && depth + j < dim) {
        if (norms) v = unit_element(v, norms[row]);
        sums.whole = fused(v, v, sums.whole);
        if (centre) v -= centre[depth + j];
      }
      chunk.at[j] = to_bf16(v);
      const float off = v - of_bf16(chunk.at[j]);
      sums.squared = fused(v, v, sums.squared);
      sums.change = fused(off, off, sums.change);
    }
    return chunk;
  }
};

// Norm of the centre, where rows are relative to it.
struct FilterShift {
  const float* centre;
  int64_t dim;
  bool used;
  FilterCommon* common;
  VQ_HD void operator()(int64_t) const {
    float sum = 0;
    for (int64_t d = 0; used && d < dim; ++d) sum = fused(centre[d], centre[d], sum);
    *common = {used ? norm_bound(sum, dim) : 0.0f, rank_of(0.0f)};
  }
};

// Biases of the codes' positions, and per tile of codes the largest of each number of the bound.
struct FilterCodes {
  static constexpr int kThreads = kTileRows;
  struct Shared {
    CodeBound bound[kTileRows];
  };
  using Registers = Nothing;

  int64_t k, dim, tiles;
  Kind kind;
  const float *whole, *squared, *change;
  float share;         // 1; tests show that less of the bound is too little
  float* bias;         // [tiles * kTileRows], +inf where there is no code
  CodeBound* bounds;   // [tiles]
  FilterCommon* common;
  int64_t blocks() const { return tiles; }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t tile = block.index();
    block.each([&](int thread, Nothing&) {
      const int64_t at = tile * kTileRows + thread;
      const bool code = code_at(at, tiles) < k;
      bias[at] = !code ? infinity() : kind == Kind::kL2 ? 0.5f * squared[at] : 0.0f;
      s.bound[thread] = code ? code_bound(kind, squared[at], change[at], whole[at], common->shift, dim) : CodeBound{0, 0, 0, 0};
    });
    block.each([&](int thread, Nothing&) {
      if (thread > 0) return;
      CodeBound most = {0, 0, 0, 0};
      for (int i = 0; i < kTileRows; ++i) {
        const CodeBound& c = s.bound[i];
        most = {larger(most.a, c.a), larger(most.b, c.b), larger(most.c, c.c), larger(most.size, c.size)};
      }
      keep_most(&common->widest, rank_of(most.size));
      bounds[tile] = {share * most.a, share * most.b, share * most.c, most.size};
    });
  }

 private:
  VQ_HD static float larger(float a, float b) { return a < b ? b : a; }
};

}  // namespace vq::gpu
