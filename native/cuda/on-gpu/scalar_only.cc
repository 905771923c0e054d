// The reference alone: this program is built without Highway, so no other instruction set is on offer.
#include "cpu/level_kernels.h"
#include "cpu/quantize_kernels.h"

namespace vq {
const QuantKernels* avx2_kernels() { return nullptr; }
const QuantKernels* avx512_kernels() { return nullptr; }
const QuantKernels* avx512_bf16_kernels() { return nullptr; }
const QuantKernels* neon_kernels() { return nullptr; }
const LevelKernels* simd_levels(const char*) { return nullptr; }
int64_t supported_targets() { return 0; }
}  // namespace vq
