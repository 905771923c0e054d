// All levels of greedy residual encoding in one launch: a block keeps the residuals of its rows in shared memory and streams
// every level's codebook past them, tile by tile from the L2 cache, the next part of a tile on its way while this one is met.
// Scores are the contract's chains, eight rows and four codes in a thread's registers.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

constexpr int kLoopCodes = 64;  // codes of a tile

// A codebook in the order in which tiles are read: [tile][d][code], codes past the last one 0.
struct PackTiles {
  const float* codes;
  int64_t k, dim;
  float* out;
  VQ_HD void operator()(int64_t i) const {
    const int64_t code = i / (kLoopCodes * dim) * kLoopCodes + i % kLoopCodes, d = i / kLoopCodes % dim;
    out[i] = code < k ? codes[code * dim + d] : 0.0f;
  }
};

template <int kRows_, int kDim>
struct ResidualLoop {
  static constexpr int kRows = kRows_, kMostDim = kDim, kMostLevels = 16;
  static constexpr int kCodes = kLoopCodes, kPart = 16, kRowsEach = 8, kCodesEach = 4;
  static constexpr int kAcross = kCodes / kCodesEach, kHalf = kAcross / 2;
  static constexpr int kThreads = kRows / kRowsEach * kAcross;
  static constexpr int kHeld = kPart * kCodes / kThreads;
  struct Shared {
    alignas(16) float x[kDim][kRows + 4];  // residuals; aligned, so that four are read at once
    alignas(16) float e[kPart * kCodes];
    float score[kRows][kHalf + 1];
    int32_t code[kRows][kHalf + 1];
    int32_t chosen[kRows];
  };
  struct Registers {
    float sum[kRowsEach][kCodesEach];
    Best best[kRowsEach];
    float held[kHeld];
  };
  struct Level {
    const float *codes, *tiles, *bias;
    int64_t k;
  };

  const float* x;
  int64_t n, dim, levels;
  int32_t* codes;  // [n, levels]
  float *quantized, *errors, *level_errors;  // each may be null
  int64_t* bad;
  Level level[kMostLevels];
  int64_t blocks() const { return ceil_div(n, kRows); }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t first = block.index() * kRows;
    const int rows = static_cast<int>(least(kRows, n - first)), width = static_cast<int>(dim);
    block.each([&](int thread, Registers&) {
      for (int i = thread; i < kRows * width; i += kThreads) {
        const int row = i / width, d = i % width;
        s.x[d][row] = row < rows ? x[(first + row) * dim + d] : 0.0f;
      }
    });
    for (int64_t l = 0; l < levels; ++l) {
      const Level& book = level[l];
      meet(block, s, book);
      choose(block, s, l, first, rows);
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < kRows * width; i += kThreads) {
          const int row = i / width, d = i % width;
          s.x[d][row] = s.x[d][row] - book.codes[s.chosen[row] * dim + d];
        }
      });
      const bool last = errors && l + 1 == levels;
      if (!level_errors && !last) continue;
      block.each([&](int thread, Registers&) {
        if (thread >= rows) return;
        float norm = 0;
        for (int d = 0; d < width; ++d) norm = norm_step(norm, s.x[d][thread]);
        if (level_errors) level_errors[(first + thread) * levels + l] = norm;
        if (last) errors[first + thread] = norm;
      });
    }
    if (!quantized) return;
    block.each([&](int thread, Registers&) {
      for (int i = thread; i < rows * width; i += kThreads) {
        const int64_t row = first + i / width, d = i % width;
        float sum = level[0].codes[codes[row * levels] * dim + d];
        for (int64_t l = 1; l < levels; ++l) sum = sum + level[l].codes[codes[row * levels + l] * dim + d];
        quantized[row * dim + d] = sum;
      }
    });
  }

 private:
  // The part of the codebook from element `at` of tile `from` on.
  VQ_HD void fetch(Registers& r, int thread, const Level& book, int64_t from, int64_t at) const {
    if (at >= dim) at = 0, from += kCodes;
    if (from >= book.k) return;
    const int held = static_cast<int>(least(kPart, dim - at)) * kCodes;
    const float* part = book.tiles + from * dim + at * kCodes;
    for (int i = 0; i < kHeld; ++i) r.held[i] = thread + i * kThreads < held ? part[thread + i * kThreads] : 0.0f;
  }

  template <class Block>
  VQ_HD void meet(Block& block, Shared& s, const Level& book) const {
    block.each([&](int thread, Registers& r) {
      for (int i = 0; i < kRowsEach; ++i) r.best[i] = no_best();
      fetch(r, thread, book, 0, 0);
    });
    for (int64_t from = 0; from < book.k; from += kCodes)
      for (int64_t at = 0; at < dim; at += kPart) {
        const int width = static_cast<int>(least(kPart, dim - at));
        block.each([&](int thread, Registers& r) {
          for (int i = 0; i < kHeld; ++i) s.e[thread + i * kThreads] = r.held[i];
        });
        block.each([&](int thread, Registers& r) {
          const int row = thread / kAcross * kRowsEach, column = thread % kAcross * kCodesEach;
          fetch(r, thread, book, from, at + kPart);
          if (at == 0)
            for (int j = 0; j < kCodesEach; ++j) {
              const float b = from + column + j < book.k ? book.bias[from + column + j] : infinity();
              for (int i = 0; i < kRowsEach; ++i) r.sum[i][j] = b;
            }
          const auto step = [&](int d) {
            float mine[kRowsEach], theirs[kCodesEach];
            for (int i = 0; i < kRowsEach; ++i) mine[i] = s.x[at + d][row + i];
            for (int j = 0; j < kCodesEach; ++j) theirs[j] = s.e[d * kCodes + column + j];
            for (int i = 0; i < kRowsEach; ++i)
              for (int j = 0; j < kCodesEach; ++j) r.sum[i][j] = score_step(r.sum[i][j], mine[i], theirs[j]);
          };
          if (width == kPart)  // a loop that the compiler unrolls
            for (int d = 0; d < kPart; ++d) step(d);
          else
            for (int d = 0; d < width; ++d) step(d);
          if (at + kPart >= dim)
            for (int i = 0; i < kRowsEach; ++i)
              for (int j = 0; j < kCodesEach; ++j)
                keep_better(r.best[i], r.sum[i][j], static_cast<int32_t>(from + column + j));
        });
      }
  }

  // The best of the threads that share a row: one half hands over to the other, which hands over to a thread per row.
  template <class Block>
  VQ_HD void choose(Block& block, Shared& s, int64_t l, int64_t first, int rows) const {
    const auto put = [&](const Registers& r, int row, int slot) {
      for (int i = 0; i < kRowsEach; ++i) s.score[row + i][slot] = r.best[i].score, s.code[row + i][slot] = r.best[i].code;
    };
    block.each([&](int thread, Registers& r) {
      const int row = thread / kAcross * kRowsEach, column = thread % kAcross;
      if (column >= kHalf) put(r, row, column - kHalf);
    });
    block.each([&](int thread, Registers& r) {
      const int row = thread / kAcross * kRowsEach, column = thread % kAcross;
      if (column >= kHalf) return;
      for (int i = 0; i < kRowsEach; ++i) keep_better(r.best[i], s.score[row + i][column], s.code[row + i][column]);
      put(r, row, column);
    });
    block.each([&](int thread, Registers&) {
      if (thread >= kRows) return;
      Best best = no_best();
      for (int c = 0; c < kHalf; ++c) keep_better(best, s.score[thread][c], s.code[thread][c]);
      s.chosen[thread] = best.code;
      if (thread >= rows) return;
      codes[(first + thread) * levels + l] = best.code;
      if (!finite(best.score)) note_first(bad, first + thread);
    });
  }
  static_assert(kThreads >= kRows && kPart * kCodes % kThreads == 0, "a thread per row at the end");
};

}  // namespace vq::gpu
