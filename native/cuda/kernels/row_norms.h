// Squared norms of rows by the ascending fused sum, in the form that the caller needs, and whether the rows are usable.
// Rows pass through shared memory in parts, so that reads lie together; one thread then adds up one row.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

struct RowNorms {
  enum Form : int32_t { kSquared, kHalf, kRoot };
  // Which rows are noted in `bad`: none, those with an element that is not finite, those whose result is not.
  enum Wrong : int32_t { kNever, kElement, kResult };
  static constexpr int kThreads = 128, kRows = kThreads, kPart = 32;
  struct Shared {
    float part[kRows][kPart + 1];
  };
  struct Registers {
    float norm;
    bool usable;
  };

  const float* x;
  int64_t n, dim;
  Form form;
  Wrong wrong;
  float* out;             // [n] in steps of `stride`, or null
  int64_t stride;
  int64_t* bad;           // null with kNever
  int64_t blocks() const { return ceil_div(n, kRows); }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t first = block.index() * kRows;
    const int rows = static_cast<int>(least(kRows, n - first));
    block.each([&](int, Registers& r) { r.norm = 0, r.usable = true; });
    for (int64_t at = 0; at < dim; at += kPart) {
      const int width = static_cast<int>(least(kPart, dim - at));
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < kRows * kPart; i += kThreads) {
          const int row = i / kPart, d = i % kPart;
          if (row < rows && d < width) s.part[row][d] = x[(first + row) * dim + at + d];
        }
      });
      block.each([&](int thread, Registers& r) {
        if (thread >= rows) return;
        for (int d = 0; d < width; ++d) {
          r.norm = norm_step(r.norm, s.part[thread][d]);
          r.usable = r.usable && finite(s.part[thread][d]);
        }
      });
    }
    block.each([&](int thread, Registers& r) {
      if (thread >= rows) return;
      const float value = form == kHalf ? 0.5f * r.norm : form == kRoot ? root(r.norm) : r.norm;
      if (out) out[(first + thread) * stride] = value;
      if ((wrong == kElement && !r.usable) || (wrong == kResult && !finite(value))) note_first(bad, first + thread);
    });
  }
};

}  // namespace vq::gpu
