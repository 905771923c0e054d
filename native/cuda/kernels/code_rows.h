// The rows of each code in ascending order: keys for a stable sort, and where each code's rows begin in the sorted list.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

// Keys in [0, k]: a row that is left out (-1) goes behind the last code.
struct SortKeys {
  const int32_t* indices;
  int64_t k;
  int32_t *keys, *rows;
  int64_t* bad;  // the first row whose index is outside [-1, k)
  VQ_HD void operator()(int64_t i) const {
    const int32_t c = indices[i];
    const bool inside = c >= -1 && c < k;
    if (!inside) note_first(bad, i);
    keys[i] = inside && c >= 0 ? c : static_cast<int32_t>(k);
    rows[i] = static_cast<int32_t>(i);
  }
};

// starts[c] for c in [0, k].
struct SegmentStarts {
  const int32_t* keys;
  int64_t n;
  int64_t* starts;
  VQ_HD void operator()(int64_t c) const { starts[c] = lower_bound(keys, n, static_cast<int32_t>(c)); }
};

// sums[c, d] of the rows of code c in ascending row order; counts[c]. One thread per element of the sums.
// A faster route keeps this order per (code, d) and splits only which threads fetch the rows.
struct CodeSums {
  const float* x;
  int64_t dim;
  const int32_t* rows;
  const int64_t* starts;
  float *counts, *sums;
  VQ_HD void operator()(int64_t i) const {
    const int64_t c = i / dim, d = i % dim, end = starts[c + 1];
    float sum = 0;
    for (int64_t at = starts[c]; at < end; ++at) sum += x[static_cast<int64_t>(rows[at]) * dim + d];
    sums[i] = sum;
    if (d == 0) counts[c] = static_cast<float>(end - starts[c]);
  }
};

}  // namespace vq::gpu
