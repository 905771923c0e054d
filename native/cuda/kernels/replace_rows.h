#pragma once
#include "cuda/block.h"

namespace vq::gpu {

// Codes begin anew at rows of the batch: codebook[c] = x[row], counts[c] = fresh, sums[c] = fresh x[row]. The codes differ.
struct ReplaceRows {
  const float* x;
  const int32_t *codes, *rows;
  int64_t dim;
  float fresh;
  float *codebook, *counts, *sums;  // sums may be null
  VQ_HD void operator()(int64_t i) const {
    const int64_t code = codes[i / dim], d = i % dim;
    const float v = x[rows[i / dim] * dim + d];
    codebook[code * dim + d] = v;
    if (sums) sums[code * dim + d] = fresh * v;
    if (d == 0) counts[code] = fresh;
  }
};

// The first index outside [0, bound).
struct NoteOutside {
  const int32_t* indices;
  int64_t bound;
  int64_t* first;
  VQ_HD void operator()(int64_t i) const {
    if (indices[i] < 0 || indices[i] >= bound) note_first(first, i);
  }
};

}  // namespace vq::gpu
