// Beam search over the levels of residual encoding. Each row has `width` slots of paths, of which the first `alive` hold one.
// A level: the `keep` nearest codes of every path (TopCodes), the squared norm that each of these proposals would leave
// (ProposalErrors), the best of a row's proposals (KeepBest), the paths that they make (GrowPaths, GrowHistory).
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

// The `keep` codes of smallest score below +inf, ascending, ties to the lower code; -1 where there are no more. A tile of
// scores passes through shared memory to a thread per path, which keeps the path's list.
struct TopCodes {
  static constexpr int kThreads = 256, kRows = 64, kCodes = 64, kPart = 16, kEach = 4;
  static constexpr int kAcross = kCodes / kEach, kPitch = kRows + 4;
  struct Shared {
    float x[kPart][kPitch];
    float e[kPart][kPitch];
    float score[kRows][kCodes + 1];
  };
  struct Registers {
    float sum[kEach][kEach];
    int32_t count;
  };
  const float* x;  // [n, dim]
  int64_t n, dim;
  const float *codes, *bias;
  int64_t k;
  int32_t keep;
  float* scores;   // [n, keep]
  int32_t* found;  // [n, keep]
  int64_t blocks() const { return ceil_div(n, kRows); }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t first = block.index() * kRows;
    const int rows = static_cast<int>(least(kRows, n - first));
    block.each([&](int, Registers& r) { r.count = 0; });
    for (int64_t from = 0; from < k; from += kCodes) {
      for (int64_t at = 0; at < dim; at += kPart) {
        const int width = static_cast<int>(least(kPart, dim - at));
        block.each([&](int thread, Registers&) {
          for (int i = thread; i < kRows * kPart; i += kThreads) {
            const int d = i % kPart, row = i / kPart;
            if (d >= width) continue;
            s.x[d][row] = row < rows ? x[(first + row) * dim + at + d] : 0.0f;
            s.e[d][row] = from + row < k ? codes[(from + row) * dim + at + d] : 0.0f;
          }
        });
        block.each([&](int thread, Registers& r) {
          const int row = thread / kAcross * kEach, column = thread % kAcross;
          for (int j = 0; at == 0 && j < kEach; ++j) {
            const int64_t code = from + column + j * kAcross;
            const float b = code < k ? bias[code] : infinity();
            for (int i = 0; i < kEach; ++i) r.sum[i][j] = b;
          }
          for (int d = 0; d < width; ++d)
            for (int i = 0; i < kEach; ++i)
              for (int j = 0; j < kEach; ++j)
                r.sum[i][j] = score_step(r.sum[i][j], s.x[d][row + i], s.e[d][column + j * kAcross]);
          if (at + kPart < dim) return;
          for (int i = 0; i < kEach; ++i)
            for (int j = 0; j < kEach; ++j) s.score[row + i][column + j * kAcross] = r.sum[i][j];
        });
      }
      block.each([&](int thread, Registers& r) {
        if (thread >= rows) return;
        for (int c = 0; c < kCodes; ++c) insert(r.count, first + thread, s.score[thread][c], static_cast<int32_t>(from + c));
      });
    }
    block.each([&](int thread, Registers& r) {
      if (thread >= rows) return;
      for (int32_t i = r.count; i < keep; ++i) found[(first + thread) * keep + i] = -1;
    });
  }

 private:
  // Codes come in ascending order, so that an equal score goes behind those that are there.
  VQ_HD void insert(int32_t& count, int64_t row, float score, int32_t code) const {
    float* list = scores + row * keep;
    int32_t* names = found + row * keep;
    if (!(score < (count < keep ? infinity() : list[keep - 1]))) return;
    int32_t at = count < keep ? count++ : keep - 1;
    for (; at > 0 && score < list[at - 1]; --at) list[at] = list[at - 1], names[at] = names[at - 1];
    list[at] = score, names[at] = code;
  }
};

// Squared norm of what each proposal leaves; +inf where that is not a number.
struct ProposalErrors {
  const float *x, *codes, *scores;
  int64_t dim;
  int32_t width, keep;
  const int32_t* alive;  // [rows]
  int32_t* found;        // [rows, width, keep]: -1 is put where the path is none
  float* errors;
  int64_t* bad;          // the first row with a score that is not finite
  VQ_HD void operator()(int64_t i) const {
    const int64_t path = i / keep, row = path / width;
    if (path % width >= alive[row]) found[i] = -1;
    if (found[i] < 0) return;
    if (!finite(scores[i])) note_first(bad, row);
    float s = 0;
    for (int64_t d = 0; d < dim; ++d) {
      const float t = x[path * dim + d] - codes[found[i] * dim + d];
      s = fused(t, t, s);
    }
    errors[i] = s == s ? s : infinity();
  }
};

// The first min(next, proposals) proposals by error, code, parent. A block per row; every round takes one.
struct KeepBest {
  static constexpr int kThreads = 128;
  struct Shared {
    int32_t best[kThreads];
  };
  using Registers = Nothing;
  int64_t rows;
  int32_t width, keep, next;
  const float* errors;
  int32_t* found;       // what is taken becomes -1
  int32_t *parent, *code, *alive;  // [rows, next], [rows, next], [rows]
  float* path_error;    // [rows, next]
  int64_t* bad;         // the first row that has nothing to rank by
  int64_t blocks() const { return rows; }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t row = block.index();
    const int32_t size = width * keep, threads = size < kThreads ? size : kThreads;
    const float* error = errors + row * size;
    int32_t* names = found + row * size;
    for (int32_t c = 0; c < next; ++c) {
      block.each([&](int thread, Nothing&) {
        int32_t best = -1;
        for (int32_t i = thread; i < size; i += kThreads)
          if (names[i] >= 0 && (best < 0 || before(error, names, i, best))) best = i;
        s.best[thread] = best;
      });
      block.each([&](int thread, Nothing&) {
        if (thread != 0) return;
        int32_t best = -1;
        for (int t = 0; t < threads; ++t)
          if (s.best[t] >= 0 && (best < 0 || before(error, names, s.best[t], best))) best = s.best[t];
        const int64_t to = row * next + c;
        if (c == 0 && (best < 0 || !finite(error[best]))) note_first(bad, row);
        if (best >= 0 || c == 0) alive[row] = c + 1;
        parent[to] = best < 0 ? 0 : best / keep;
        code[to] = best < 0 ? 0 : names[best];
        path_error[to] = best < 0 ? infinity() : error[best];
        if (best >= 0) names[best] = -1;
      });
    }
  }

 private:
  VQ_HD bool before(const float* error, const int32_t* names, int32_t a, int32_t b) const {
    if (error[a] != error[b]) return error[a] < error[b];
    return names[a] != names[b] ? names[a] < names[b] : a / keep < b / keep;
  }
};

// Residuals of the kept paths; 0 in slots without one.
struct GrowPaths {
  const float *from, *codes;
  int64_t dim;
  int32_t width, next;
  const int32_t *parent, *code, *alive;
  float* out;
  VQ_HD void operator()(int64_t i) const {
    const int64_t to = i / dim, d = i % dim, row = to / next;
    out[i] = to % next < alive[row] ? from[(row * width + parent[to]) * dim + d] - codes[code[to] * dim + d] : 0.0f;
  }
};

// history [rows, width, levels]: the codes of a path so far.
struct GrowHistory {
  const int32_t *from, *parent, *code;
  int64_t levels, level;
  int32_t width, next;
  int32_t* out;
  VQ_HD void operator()(int64_t i) const {
    const int64_t to = i / (level + 1), l = i % (level + 1), row = to / next;
    out[to * levels + l] = l == level ? code[to] : from[(row * width + parent[to]) * levels + l];
  }
};

// The best path of every row.
struct BestPath {
  const int32_t* history;
  const float* path_error;
  int64_t levels;
  int32_t width;
  int32_t* codes;
  float* errors;  // or null
  VQ_HD void operator()(int64_t row) const {
    for (int64_t l = 0; l < levels; ++l) codes[row * levels + l] = history[row * width * levels + l];
    if (errors) errors[row] = path_error[row * width];
  }
};

}  // namespace vq::gpu
