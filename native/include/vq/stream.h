// When a kernel writes past the caches: results larger than the last cache cannot stay there, and a plain store would
// read every line before it is overwritten.
#pragma once
#include <cstddef>
#include <cstdint>

namespace vq {

constexpr int64_t kStreamedBytes = int64_t{24} << 20;
inline bool worth_streaming(int64_t floats) { return floats * static_cast<int64_t>(sizeof(float)) >= kStreamedBytes; }

}  // namespace vq
