// Distance and argmin in one pass: a block keeps the best code of 64 rows and meets the codes 64 at a time, so the N x K
// scores live in registers alone. Every score is the contract's chain over ascending d, in float32.
//
// The route for small sizes, and for rows that the filter of large ones (code_filter.h) cannot decide.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

struct Nearest {
  static constexpr int kThreads = 256, kRows = 64, kCodes = 64, kPart = 16, kEach = 4;
  static constexpr int kAcross = kCodes / kEach;  // threads that share four rows
  static constexpr int kPitch = kRows + 4;        // rows of a part: 16-byte aligned, spread over the banks
  struct Shared {
    float x[kPart][kPitch];
    float e[kPart][kPitch];
    float score[kRows][kAcross + 1];
    int32_t code[kRows][kAcross + 1];
  };
  struct Registers {
    float sum[kEach][kEach];  // [row][code]
    Best best[kEach];
    float norm;               // squared norm of row `thread`
  };

  const float* x;
  int64_t n, dim;
  const float* codes;
  int64_t k;
  Kind kind;
  const float *x_norms, *code_norms;  // for cosine: divide by these; else null
  const float* bias;                  // [k], or null for zeros
  int32_t* indices;                   // [n] in steps of `stride`
  int64_t stride;
  float* distances;                   // [n] or null
  int64_t* bad;                       // the first row whose best score is not finite
  const int32_t *chosen, *chosen_count;  // so many of these rows alone, or null
  int64_t blocks() const { return ceil_div(n, kRows); }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t first = block.index() * kRows;
    const int64_t left = (chosen ? *chosen_count : n) - first;
    if (left <= 0) return;
    const int rows = static_cast<int>(least(kRows, left));
    const bool norms = distances != nullptr && kind == Kind::kL2;
    block.each([&](int, Registers& r) {
      for (int i = 0; i < kEach; ++i) r.best[i] = no_best();
      r.norm = 0;
    });
    for (int64_t from = 0; from < k; from += kCodes) {
      for (int64_t at = 0; at < dim; at += kPart) {
        const int width = static_cast<int>(least(kPart, dim - at));
        const bool last = at + kPart >= dim;
        block.each([&](int thread, Registers&) { load(s, thread, first, rows, from, at, width); });
        block.each([&](int thread, Registers& r) {
          const int row = thread / kAcross * kEach, column = thread % kAcross;
          if (at == 0) start(r, from, column);
          for (int d = 0; d < width; ++d) {
            float mine[kEach], theirs[kEach];
            for (int i = 0; i < kEach; ++i) mine[i] = s.x[d][row + i];
            for (int j = 0; j < kEach; ++j) theirs[j] = s.e[d][column + j * kAcross];
            for (int i = 0; i < kEach; ++i)
              for (int j = 0; j < kEach; ++j) r.sum[i][j] = score_step(r.sum[i][j], mine[i], theirs[j]);
          }
          if (norms && from == 0 && thread < rows)
            for (int d = 0; d < width; ++d) r.norm = norm_step(r.norm, s.x[d][thread]);
          if (last)
            for (int i = 0; i < kEach; ++i)
              for (int j = 0; j < kEach; ++j)
                keep_better(r.best[i], r.sum[i][j], static_cast<int32_t>(from + column + j * kAcross));
        });
      }
    }
    block.each([&](int thread, Registers& r) {
      const int row = thread / kAcross * kEach, column = thread % kAcross;
      for (int i = 0; i < kEach; ++i) s.score[row + i][column] = r.best[i].score, s.code[row + i][column] = r.best[i].code;
    });
    block.each([&](int thread, Registers& r) {
      if (thread >= rows) return;
      Best best = no_best();
      for (int c = 0; c < kAcross; ++c) keep_better(best, s.score[thread][c], s.code[thread][c]);
      const int64_t row = row_at(first + thread);
      indices[row * stride] = best.code;
      if (distances) distances[row] = distance_of(kind, best.score, r.norm);
      if (!finite(best.score)) note_first(bad, row);
    });
  }

 private:
  VQ_HD int64_t row_at(int64_t i) const { return chosen ? chosen[i] : i; }
  // Codes past the last one score +inf, or NaN, and never win.
  VQ_HD void start(Registers& r, int64_t from, int column) const {
    for (int j = 0; j < kEach; ++j) {
      const int64_t code = from + column + j * kAcross;
      const float b = code >= k ? infinity() : bias ? bias[code] : 0.0f;
      for (int i = 0; i < kEach; ++i) r.sum[i][j] = b;
    }
  }
  VQ_HD void load(Shared& s, int thread, int64_t first, int rows, int64_t from, int64_t at, int width) const {
    for (int i = thread; i < kRows * kPart; i += kThreads) {
      const int d = i % kPart, row = i / kPart;
      if (d >= width) continue;
      float v = 0;
      if (row < rows) {
        const int64_t from_row = row_at(first + row);
        v = x[from_row * dim + at + d];
        if (x_norms) v = unit_element(v, x_norms[from_row]);
      }
      s.x[d][row] = v;
      const int64_t code = from + row;  // kCodes == kRows
      v = 0;
      if (code < k) {
        v = codes[code * dim + at + d];
        if (code_norms) v = unit_element(v, code_norms[code]);
      }
      s.e[d][row] = v;
    }
  }
  static_assert(kRows == kCodes && kRows / kEach * kAcross == kThreads, "one thread per four rows and four codes");
};

}  // namespace vq::gpu
