// Quantizers without a learned codebook: finite scalar and lookup-free quantization. All arrays are row-major. Codes are
// the same for every instruction set, thread count and split of the rows. A row that holds a NaN or an infinity has no
// code: the call fails and names the first such row.
#pragma once
#include <cstdint>
#include <vector>

#include "vq/fsq.h"
#include "vq/lfq.h"
#include "vq/quantize.h"

namespace vq {

// The levels of each dimension, at least 2; their product is at most 2^31 - 1. The first dimension's digit of a code is
// the lowest.
class FsqLevels {
 public:
  FsqLevels(const std::vector<int64_t>& levels, gpu::FsqBound bound);
  int64_t dim() const { return static_cast<int64_t>(columns.size()); }
  std::vector<gpu::FsqColumn> columns;
  std::vector<int32_t> levels, basis;
  int64_t size = 1;  // number of codes
};

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

}  // namespace vq
