// Distance and argmin in one pass: a block keeps the best code of 64 rows and meets the codes 64 at a time, so the N x K
// scores live in registers alone. Every score is the contract's chain over ascending d, in float32.
//
// The route for small sizes, and for rows that the filter of large ones (code_filter.h) cannot decide.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

struct Nearest {
  static constexpr int kThreads = 256, kBlocksAtOnce = 3, kRows = 64, kCodes = 64, kPart = 16, kEach = 4;
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
  // So many of these rows alone, whose number the device knows, or null.
  const int32_t* chosen = nullptr;
  const int32_t* chosen_count = nullptr;
  // Where rows are few, blocks share their codes: what each finds goes into the least of the keys, kNone at first, and squared
  // norms into `norms`, for SharedNearest to end with. Null without.
  int64_t* keys = nullptr;
  float* norms = nullptr;
  int64_t most_blocks = 0;
  VQ_HD int64_t blocks() const {
    const int64_t down = ceil_div(n, kRows);
    return keys ? least(down * ceil_div(k, kCodes), most_blocks) : down;
  }

  template <class Block>
  VQ_HD void run(Block& block) const {
    const int64_t count = chosen ? *chosen_count : n;
    const int32_t down = static_cast<int32_t>(ceil_div(count, kRows)), tiles = static_cast<int32_t>(ceil_div(k, kCodes));
    if (down == 0) return;
    const int32_t grid = static_cast<int32_t>(blocks());
    const int32_t shares = keys && grid > down ? static_cast<int32_t>(least(tiles, grid / down)) : 1;
    for (int64_t work = block.index(); work < static_cast<int64_t>(down) * shares; work += grid) {
      const int32_t share = static_cast<int32_t>(work) / down, row = static_cast<int32_t>(work) % down;
      meet(block, int64_t{row} * kRows, count, int64_t{first_tile(tiles, share, shares)} * kCodes,
           least(k, int64_t{first_tile(tiles, share + 1, shares)} * kCodes));
    }
  }

 private:
  // The rows from `first` on and these codes.
  template <class Block>
  VQ_HD void meet(Block& block, int64_t first, int64_t count, int64_t begin, int64_t end) const {
    Shared& s = block.shared();
    const int rows = static_cast<int>(least(kRows, count - first));
    const bool measure = distances != nullptr && kind == Kind::kL2;
    block.each([&](int, Registers& r) {
      for (int i = 0; i < kEach; ++i) r.best[i] = no_best();
      r.norm = 0;
    });
    for (int64_t from = begin; from < end; from += kCodes) {
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
          if (measure && from == begin && thread < rows)
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
      if (keys) {
        note_first(&keys[first + thread], key_of(best.score, best.code));
        if (begin == 0) norms[first + thread] = r.norm;
        return;
      }
      const int64_t row = first + thread;
      indices[row * stride] = best.code;
      if (distances) distances[row] = distance_of(kind, best.score, r.norm);
      if (!finite(best.score)) note_first(bad, row);
    });
  }

  // As even as whole tiles allow.
  VQ_HD static int32_t first_tile(int32_t tiles, int32_t share, int32_t shares) {
    return tiles / shares * share + static_cast<int32_t>(least(share, tiles % shares));
  }
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

// What a Nearest with keys found, in its place.
struct SharedNearest {
  Nearest found;
  VQ_HD void operator()(int64_t i) const {
    if (found.chosen && i >= *found.chosen_count) return;
    const Best best = of_key(found.keys[i]);
    const int64_t row = found.chosen ? found.chosen[i] : i;
    found.indices[row * found.stride] = best.code;
    if (found.distances) found.distances[row] = distance_of(found.kind, best.score, found.norms[i]);
    if (!finite(best.score)) note_first(found.bad, row);
  }
};

}  // namespace vq::gpu
