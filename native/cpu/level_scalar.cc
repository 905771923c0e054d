#include "cpu/level_kernels.h"

namespace vq {
namespace {

gpu::FsqColumn column(const FsqPattern& p, int64_t i) {
  return {p.shift[i], p.scale[i], p.offset[i], p.zero[i], p.step[i], p.centre[i], p.width[i]};
}

void levels(const FsqPattern& p, const float* z, int64_t count, float* out, float* values) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = gpu::fsq_level(column(p, i), z[i]);
    if (values) values[i] = gpu::fsq_value(column(p, i), out[i]);
  }
}
void bounded(const FsqPattern& p, const float* z, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = gpu::fsq_bounded(column(p, i), z[i]);
}
void gradient(const FsqPattern& p, const float* z, const float* dy, int64_t count, float* dz) {
  for (int64_t i = 0; i < count; ++i) dz[i] = gpu::fsq_slope(column(p, i), z[i]) * dy[i];
}

}  // namespace

const LevelKernels* scalar_levels() {
  static const LevelKernels table = {levels, bounded, gradient};
  return &table;
}

}  // namespace vq
