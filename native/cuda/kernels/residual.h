// What a level of residual encoding leaves, and the sum of the chosen codes.
//
// Where one launch for all levels attaches: with codebooks that fit shared memory a block would keep its rows' residuals
// there and loop Nearest's inner part over the levels; the arithmetic is LevelResidual's and stays the same.
#pragma once
#include "cuda/block.h"

namespace vq::gpu {

struct LevelResidual {
  const float* from;     // [rows, dim]: the rows, or what the level before left
  const float* codes;    // this level's codebook
  const int32_t* chosen; // in steps of `levels`
  int64_t dim, levels;
  float* out;            // may be `from`
  VQ_HD void operator()(int64_t i) const {
    const int64_t row = i / dim, d = i % dim;
    out[i] = from[i] - codes[chosen[row * levels] * dim + d];
  }
};

// out = the first level's code, or out + a later level's: run level by level, in order.
struct AddLevel {
  const float* codes;
  const int32_t* chosen;
  int64_t dim, levels;
  bool first;
  float* out;
  VQ_HD void operator()(int64_t i) const {
    const float e = codes[chosen[i / dim * levels] * dim + i % dim];
    out[i] = first ? e : out[i] + e;
  }
};

}  // namespace vq::gpu
