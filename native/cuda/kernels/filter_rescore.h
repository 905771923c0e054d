// The contract's scores of the codes that the filter left. The result is the least key of a set that contains the winner, so
// it does not depend on the order of the lists.
#pragma once
#include "cuda/kernels/filter_scan.h"

namespace vq::gpu {

struct FilterRescore {
  static constexpr int kThreads = 128, kRows = 32, kPart = 32;
  static constexpr int kPairs = kRows * kListed;  // of one split
  struct Shared {
    float x[kThreads][kPart + 1], e[kThreads][kPart + 1];
    int64_t key[kRows];
    float least[kRows];
    int32_t norm[kRows];   // bits; atomic, as every pair of a row has the same to tell
    int32_t whole[kRows];  // whether every candidate of the row is in its lists
    int32_t count[3];      // in turn: of the split before some thread may still read
    int32_t code[kPairs];
    uint8_t row[kPairs];
  };
  struct Registers {
    float score, norm;
  };

  ScanArrays a;
  const float *x, *codes;
  Kind kind;
  const float *x_norms, *code_norms;  // for cosine: divide by these; else null
  const float* bias;                  // [k], or null for zeros
  int32_t* indices;                   // as in Nearest
  int64_t stride;
  float* distances;
  int64_t before;                        // the number of rows before these
  int32_t *undecided, *undecided_count;  // rows to be scored in full, counted with those before, and their keys
  int64_t* undecided_keys;
  int64_t blocks() const { return ceil_div(a.n, kRows); }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t first = block.index() * kRows;
    const int rows = static_cast<int>(least(kRows, a.n - first));
    block.each([&](int thread, Registers&) {
      if (thread >= rows) return;
      int32_t low = rank_of(infinity()), found = 0;
      bool whole = true;
      for (int64_t at = (first + thread) * a.splits; at < (first + thread + 1) * a.splits; ++at) {
        low = a.least[at] < low ? a.least[at] : low;
        found += a.counts[at] > 0;
        whole = whole && a.counts[at] <= kListed;
      }
      s.least[thread] = of_rank(low);
      s.whole[thread] = whole && found > 0;
      s.key[thread] = kNone, s.norm[thread] = 0;
      if (thread == 0) s.count[0] = 0;
    });
    for (int64_t split = 0; split < a.splits; ++split) {
      block.each([&](int thread, Registers&) {
        if (thread == 0) s.count[(split + 1) % 3] = 0;
        gather(s, thread, first, rows, split);
      });
      const int pairs = s.count[split % 3];
      for (int begin = 0; begin < pairs; begin += kThreads) score(block, first, begin, pairs);
    }
    block.each([&](int thread, Registers&) {
      if (thread >= rows) return;
      const int64_t row = first + thread;
      if (!s.whole[thread]) {
        const int32_t at = take_place(undecided_count);
        undecided[at] = static_cast<int32_t>(before + row), undecided_keys[at] = kNone;
        return;
      }
      const Best best = of_key(s.key[thread]);
      indices[row * stride] = best.code;
      if (distances) distances[row] = distance_of(kind, best.score, float_of(s.norm[thread]));
    });
  }

 private:
  // The listed codes whose lower bound is not above the smallest upper one of all splits.
  VQ_HD void gather(Shared& s, int thread, int64_t first, int rows, int64_t split) const {
    constexpr int kAcross = kThreads / kRows;
    const int row = thread / kAcross;
    if (row >= rows || !s.whole[row]) return;
    const int64_t list = (first + row) * a.splits + split;
    const int32_t listed = a.counts[list];
    for (int i = thread % kAcross; i < listed; i += kAcross) {
      const Candidate c = a.listed[list * kListed + i];
      if (!(c.low <= s.least[row])) continue;
      const int32_t at = take_place(&s.count[split % 3]);
      s.code[at] = static_cast<int32_t>(code_at(c.position, a.code_tiles)), s.row[at] = static_cast<uint8_t>(row);
    }
  }

  // One thread per pair; its elements pass through shared memory.
  template <class Block>
  VQ_HD void score(Block& block, int64_t first, int begin, int pairs) const {
    Shared& s = block.shared();
    block.each([&](int thread, Registers& r) {
      r.norm = 0;
      r.score = bias && begin + thread < pairs ? bias[s.code[begin + thread]] : 0.0f;
    });
    for (int64_t at = 0; at < a.dim; at += kPart) {
      const int width = static_cast<int>(least(kPart, a.dim - at));
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < kThreads * kPart; i += kThreads) {
          const int pair = i / kPart, d = i % kPart;
          if (begin + pair >= pairs || d >= width) continue;
          const int64_t row = first + s.row[begin + pair], code = s.code[begin + pair];
          const float v = x[row * a.dim + at + d], e = codes[code * a.dim + at + d];
          s.x[pair][d] = x_norms ? unit_element(v, x_norms[row]) : v;
          s.e[pair][d] = code_norms ? unit_element(e, code_norms[code]) : e;
        }
      });
      block.each([&](int thread, Registers& r) {
        if (begin + thread >= pairs) return;
        for (int d = 0; d < width; ++d) {
          r.score = score_step(r.score, s.x[thread][d], s.e[thread][d]);
          r.norm = norm_step(r.norm, s.x[thread][d]);
        }
      });
    }
    block.each([&](int thread, Registers& r) {
      if (begin + thread >= pairs) return;
      const int row = s.row[begin + thread];
      note_first(&s.key[row], key_of(r.score, s.code[begin + thread]));
      keep_most(&s.norm[row], bits_of(r.norm));
    });
  }
};

}  // namespace vq::gpu
