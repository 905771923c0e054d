// The filter: scores of 128 rows and all codes by bfloat16 products on the tensor cores, and per row a list of the codes that
// may be the nearest (filter_bound.h). Runs from sm_80 on: sm_75 has no bfloat16 products.
//
// A block meets its codes in tiles of 128. Rows and codes pass through shared memory in parts of 64 elements, three parts deep.
// A warp holds 64 x 32 scores. At the end of a tile every row's smallest upper bound so far goes down, then codes whose lower
// bound is not above it are listed. As tiles are samples of the codebook, a row's list grows by about the survivors of one
// tile times 1 + log(tiles). On normal, clustered and 16-dimensional data with K from 1,024 to 32,768 and D 64 and 256 the
// longest list of 128 rows had 18 entries, and 1.0 to 1.6 codes per row survived the final bound. kListed places are too few
// where dozens of codes are as good as equal in bfloat16; such rows are scored in full, as are those without a finite bound.
#pragma once
#include "cuda/kernels/filter_prepare.h"

namespace vq::gpu {

constexpr int kListed = 64;
struct Candidate {
  float low;         // the score less its bound
  int32_t position;  // of the code
};
// What a scan reads and leaves, whichever kernel does it.
struct ScanArrays {
  const uint16_t* rows;                  // tiles of the rows
  const float *squared, *change;         // of their positions
  int64_t n, row_tiles, dim;
  const uint16_t* codes;
  const float* bias;
  const CodeBound* bounds;
  const FilterCommon* common;
  int64_t code_tiles, splits;            // every row meets the codes in so many blocks
  Candidate* listed;                     // [positions, splits, kListed]
  int32_t *counts, *least;               // [positions, splits]: how many, more than kListed if some were left out; rank of the
                                         // smallest upper bound
};

// A row without a bound has one that compares with nothing: its list stays empty.
VQ_HD RowBound scan_bound(const ScanArrays& a, int64_t position) {
  const RowBound b = row_bound(a.squared[position], a.change[position], a.dim);
  if (position < a.n && has_bound(b, of_rank(a.common->widest), a.common->shift)) return b;
  return {infinity() - infinity(), 0};
}
VQ_HD int64_t split_begin(const ScanArrays& a, int64_t split) { return a.code_tiles * split / a.splits; }

struct FilterScan {
  static constexpr int kThreads = 256, kStages = 3, kAhead = kStages - 1;
  static constexpr int kWarpRows = 64, kWarpCodes = 32, kDown = kTileRows / kWarpRows;
  static constexpr int kM = kWarpRows / 16, kN = kWarpCodes / 8;  // products of a warp: 16 x 8 scores each
  struct Shared {
    alignas(128) uint16_t rows[kStages][kTileElements], codes[kStages][kTileElements];
    RowBound bound[kTileRows];
    int32_t least[kTileRows], count[kTileRows];
    float seen[kTileRows];  // least at the end of the tile before, which nobody changes meanwhile
  };
  struct Registers {
    float score[kM][kN][4];
    uint32_t rows[kM][4], codes[kN / 2][4];
    float low[kM][2];
  };

  ScanArrays a;
  int64_t blocks() const { return a.row_tiles * a.splits; }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t tile = block.index() % a.row_tiles, split = block.index() / a.row_tiles;
    const int64_t first = split_begin(a, split), end = split_begin(a, split + 1), parts = parts_of(a.dim);
    const int64_t steps = (end - first) * parts;
    block.each([&](int thread, Registers&) {
      if (thread >= kTileRows) return;
      const int64_t at = tile * kTileRows + thread;
      s.bound[thread] = scan_bound(a, at);
      s.least[thread] = rank_of(infinity()), s.seen[thread] = infinity(), s.count[thread] = 0;
    });
    for (int i = 0; i < kAhead; ++i) fetch(block, tile, first, i, parts, steps);
    for (int64_t step = 0; step < steps; ++step) {
      block.template arrived<kAhead - 1>();
      fetch(block, tile, first, step + kAhead, parts, steps);
      const int64_t part = step % parts, codes = first + step / parts;
      multiply(block, static_cast<int>(step % kStages), part);
      if (part + 1 == parts) {
        lower(block, a.bias + codes * kTileRows, a.bounds[codes]);
        list(block, codes, tile, split, a.bounds[codes]);
      }
    }
    block.each([&](int thread, Registers&) {
      if (thread >= kTileRows) return;
      const int64_t at = (tile * kTileRows + thread) * a.splits + split;
      a.counts[at] = s.count[thread], a.least[at] = s.least[thread];
    });
  }

 private:
  template <class Block>
  VQ_HD void fetch(Block& block, int64_t tile, int64_t first, int64_t step, int64_t parts, int64_t steps) const {
    Shared& s = block.shared();
    const int stage = static_cast<int>(step % kStages);
    const int64_t part = step % parts, codes = first + step / parts;
    block.fetch([&](int thread) {
      if (step >= steps) return;
      const uint16_t *rows_from = a.rows + tile_at(tile, part, parts), *codes_from = a.codes + tile_at(codes, part, parts);
      VQ_UNROLL
      for (int i = 0; i < kTileElements / kChunk / kThreads; ++i) {
        const int at = (i * kThreads + thread) * kChunk;
        block.copy_chunk(s.rows[stage] + at, rows_from + at);
        block.copy_chunk(s.codes[stage] + at, codes_from + at);
      }
    });
  }

  template <class Block>
  VQ_HD void multiply(Block& block, int stage, int64_t part) const {
    Shared& s = block.shared();
    const int slices = static_cast<int>(least(kTileDepth / 16, ceil_div(a.dim - part * kTileDepth, 16)));
    const uint16_t *rows = s.rows[stage], *codes = s.codes[stage];
    block.warps([&](int warp, auto& w) {
      const int down = warp % kDown * kWarpRows, across = warp / kDown * kWarpCodes;
      if (part == 0)
        w.each([&](int, Registers& r) {
          VQ_UNROLL
          for (int i = 0; i < kM * kN * 4; ++i) r.score[i / 4 / kN][i / 4 % kN][i % 4] = 0;
        });
      VQ_UNROLL
      for (int slice = 0; slice < kTileDepth / 16; ++slice) {
        if (slice >= slices) break;
        VQ_UNROLL
        for (int i = 0; i < kM; ++i)
          w.matrices([&](Registers& r) { return r.rows[i]; },
                     [&](int lane) { return rows + in_tile(down + i * 16 + lane % 16, slice * 16 + lane / 16 * 8); });
        VQ_UNROLL
        for (int j = 0; j < kN; j += 2)
          w.matrices([&](Registers& r) { return r.codes[j / 2]; },
                     [&](int lane) {
                       return codes + in_tile(across + j * 8 + lane % 8 + lane / 16 * 8, slice * 16 + lane / 8 % 2 * 8);
                     });
        VQ_UNROLL
        for (int i = 0; i < kM; ++i) {
          VQ_UNROLL
          for (int j = 0; j < kN; ++j)
            w.multiply([&](Registers& r) { return r.score[i][j]; }, [&](Registers& r) { return r.rows[i]; },
                       [&](Registers& r) { return r.codes[j / 2] + j % 2 * 2; });
        }
      }
    });
  }

  // Where a thread's scores lie: of product i, j element c is row row_of(thread, i, c / 2), code code_of(thread, j, c % 2).
  VQ_HD static int row_of(int thread, int i, int half) {
    return thread / 32 % kDown * kWarpRows + i * 16 + half * 8 + thread % 32 / 4;
  }
  VQ_HD static int code_of(int thread, int j, int c) {
    return thread / 32 / kDown * kWarpCodes + j * 8 + thread % 4 * 2 + c;
  }

  template <class Block>
  VQ_HD void lower(Block& block, const float* bias, const CodeBound& bound) const {
    Shared& s = block.shared();
    block.each([&](int thread, Registers& r) {
      VQ_UNROLL
      for (int i = 0; i < kM; ++i) {
        VQ_UNROLL
        for (int half = 0; half < 2; ++half) {
          float low = infinity();
          VQ_UNROLL
          for (int j = 0; j < kN; ++j) {
            VQ_UNROLL
            for (int c = 0; c < 2; ++c) {
              float& t = r.score[i][j][2 * half + c];
              t = bias[code_of(thread, j, c)] - t;
              low = smaller(t, low);
            }
          }
          r.low[i][half] = low;
          const int row = row_of(thread, i, half);
          const float high = low + room_of(s.bound[row], bound);
          if (high < s.seen[row]) keep_least(&s.least[row], rank_of(high));
        }
      }
    });
  }

  template <class Block>
  VQ_HD void list(Block& block, int64_t codes, int64_t tile, int64_t split, const CodeBound& bound) const {
    Shared& s = block.shared();
    block.each([&](int thread, Registers& r) {
      if (thread < kTileRows) s.seen[thread] = of_rank(s.least[thread]);
      VQ_UNROLL
      for (int i = 0; i < kM; ++i) {
        VQ_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int row = row_of(thread, i, half);
          const float room = room_of(s.bound[row], bound), least = of_rank(s.least[row]);
          if (!(r.low[i][half] - room <= least)) continue;
          const int64_t place = ((tile * kTileRows + row) * a.splits + split) * kListed;
          VQ_UNROLL
          for (int j = 0; j < kN; ++j) {
            VQ_UNROLL
            for (int c = 0; c < 2; ++c) {
              const float low = r.score[i][j][2 * half + c] - room;
              if (!(low <= least)) continue;
              const int32_t at = take_place(&s.count[row]);
              if (at < kListed) a.listed[place + at] = {low, static_cast<int32_t>(codes * kTileRows + code_of(thread, j, c))};
            }
          }
        }
      }
    });
  }
};

}  // namespace vq::gpu
