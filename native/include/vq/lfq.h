// Lookup-free quantization, element by element, for the host and the device.
// Yu et al. 2023, https://arxiv.org/abs/2310.05737, equations 3 and 4: bit j of a code is z_j > 0, the first bit is the
// highest, its value is +scale or -scale. Against the codes c the distribution is softmax over c of 2 t z.c (t the
// inverse temperature), which is a product over the bits: with a = 4 t scale z_j, p(bit j = 1) = 1 / (1 + e^-a).
#pragma once
#include "cuda/contract.h"

namespace vq::gpu {

VQ_HD int32_t lfq_bit(float z) { return z > 0.0f ? 1 : 0; }
VQ_HD float lfq_value(int32_t bit, float scale) { return bit != 0 ? scale : -scale; }
VQ_HD int32_t lfq_append(int32_t code, int32_t bit) { return static_cast<int32_t>(static_cast<uint32_t>(code) << 1) | bit; }
VQ_HD int32_t lfq_bit_of(int32_t code, int64_t bits, int64_t j) { return (code >> (bits - 1 - j)) & 1; }

}  // namespace vq::gpu
