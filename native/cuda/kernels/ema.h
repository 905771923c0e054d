// One step of the exponential moving average: the arithmetic of ema_update in vq/quantize.h, in its order.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

// What is not finite: the batch's sums, the old sums, the old counts.
struct NoteEmaNotFinite {
  const float *batch_sums, *sums, *counts;
  int64_t dim;
  int64_t *first_batch, *first_sum, *first_count;
  VQ_HD void operator()(int64_t i) const {
    if (!finite(batch_sums[i])) note_first(first_batch, i);
    if (!finite(sums[i])) note_first(first_sum, i);
    if (i % dim == 0 && !finite(counts[i / dim])) note_first(first_count, i / dim);
  }
};

// The first row that counts and holds something that is not finite.
struct NoteRowsNotFinite {
  const float* x;
  const int32_t* indices;
  int64_t dim;
  int64_t* first;
  VQ_HD void operator()(int64_t i) const {
    if (indices[i / dim] >= 0 && !finite(x[i])) note_first(first, i / dim);
  }
};

struct EmaCounts {
  float decay, share;  // share = 1 - decay
  const float *counts, *batch;
  float* out;
  VQ_HD void operator()(int64_t c) const { out[c] = fused(decay, counts[c], share * batch[c]); }
};

// total = the values added in ascending order in float32. One thread adds, all fetch.
struct OrderedTotal {
  static constexpr int kThreads = 256, kPart = 4 * kThreads;
  struct Shared {
    float part[kPart];
  };
  struct Registers {
    float total;
  };
  const float* values;
  int64_t count;
  float* total;
  int64_t blocks() const { return 1; }
  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    block.each([&](int, Registers& r) { r.total = 0; });
    for (int64_t at = 0; at < count; at += kPart) {
      const int held = static_cast<int>(least(kPart, count - at));
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < held; i += kThreads) s.part[i] = values[at + i];
      });
      block.each([&](int thread, Registers& r) {
        if (thread != 0) return;
        for (int i = 0; i < held; ++i) r.total += s.part[i];
      });
    }
    block.each([&](int thread, Registers& r) {
      if (thread == 0) *total = r.total;
    });
  }
};

struct EmaApply {
  float decay, share, epsilon;
  int64_t k, dim;
  const float *counts_out, *total, *sums, *batch_sums, *codebook;
  float *sums_out, *codebook_out;
  VQ_HD void operator()(int64_t i) const {
    const float all = *total, smoothing = all + static_cast<float>(k) * epsilon;
    const float divisor = quotient(counts_out[i / dim] + epsilon, smoothing) * all;
    const float sum = fused(decay, sums[i], share * batch_sums[i]);
    sums_out[i] = sum;
    codebook_out[i] = divisor > 0 ? quotient(sum, divisor) : codebook[i];
  }
};

}  // namespace vq::gpu
