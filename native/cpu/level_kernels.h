// The inner loops of finite scalar quantization, one table per instruction set: level_scalar.cc is the reference,
// level_simd.cc the same arithmetic with Highway.
#pragma once
#include <cstdint>

#include "vq/codes.h"

namespace vq {

// Columns repeated for kRepeat rows, so that vectors run over the elements of several rows at once.
struct FsqPattern {
  static constexpr int kRepeat = 16;
  explicit FsqPattern(const FsqLevels& levels);
  int64_t dim, length;  // length = kRepeat * dim
  Scratch<float> shift, scale, offset, zero, step, centre, width, gain;
};

struct LevelKernels {
  // Over `count` elements of up to kRepeat rows, from the start of the pattern on.
  void (*levels)(const FsqPattern& p, const float* z, int64_t count, float* levels, float* values);
  void (*bounded)(const FsqPattern& p, const float* z, int64_t count, float* out);
  void (*gradient)(const FsqPattern& p, const float* z, const float* dy, int64_t count, float* dz);
};

const LevelKernels& level_kernels();  // of the instruction set in use
const LevelKernels* scalar_levels();
const LevelKernels* simd_levels(const char* isa);

}  // namespace vq
