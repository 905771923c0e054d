// Quantizers without a learned codebook: finite scalar and lookup-free quantization. All arrays are row-major. Codes are
// the same for every instruction set, thread count and split of the rows. A row that holds a NaN or an infinity has no
// code: the call fails and names the first such row.
#pragma once
#include <cstdint>

#include "vq/fsq_levels.h"
#include "vq/lfq.h"
#include "vq/quantize.h"

namespace vq {

// z [n, dim]; quantized [n, dim] and indices [n], either may be null.
void fsq_encode(const float* z, int64_t n, const FsqLevels& levels, float* quantized, int32_t* indices,
                const CallOptions& options);
// What fsq_encode rounds, on the scale of its values.
void fsq_bound(const float* z, int64_t n, const FsqLevels& levels, float* bounded, const CallOptions& options);
// dz = dy times the derivative of fsq_bound: the rounding is passed straight through.
void fsq_gradient(const float* z, const float* dy, int64_t n, const FsqLevels& levels, float* dz, const CallOptions& options);
// Fails and names the first index outside [0, size).
void fsq_decode(const int32_t* indices, int64_t n, const FsqLevels& levels, float* out, const CallOptions& options);

// z [n, bits], bits 1 to 31; quantized [n, bits] and indices [n], either may be null.
void lfq_encode(const float* z, int64_t n, int64_t bits, float scale, float* quantized, int32_t* indices,
                const CallOptions& options);
void lfq_decode(const int32_t* indices, int64_t n, int64_t bits, float scale, float* out, const CallOptions& options);

// Fails and names the first row that holds a NaN or an infinity.
void expect_finite_rows(const float* z, int64_t n, int64_t dim, const CallOptions& options);

// The entropy terms of lookup-free quantization; what they are stands in cpu/lfq_entropy.cc. z [n, bits], bits 1 to 4096 in
// groups of `group`, 1 to 26. entropy: the mean of the rows' entropies; diversity: the entropy of the mean distribution,
// summed over groups; table: its gradient by that distribution, one of 2^(bits of the group) behind the other.
int64_t lfq_table_size(int64_t bits, int64_t group);
void lfq_entropy(const float* z, int64_t n, int64_t bits, int64_t group, float kappa, float* entropy, float* diversity,
                 float* table, const CallOptions& options);
// dz from the gradients by the two.
void lfq_entropy_gradient(const float* z, int64_t n, int64_t bits, int64_t group, float kappa, float by_entropy,
                          float by_diversity, const float* table, float* dz, const CallOptions& options);

}  // namespace vq
