// Element types as TypeScript numbers them (packages/core/src/backend/data.ts).
#pragma once
#include <cstddef>

#include "vq/error.h"

namespace vq {

enum class DType { kFloat32 = 0, kInt32 = 1, kBool = 2 };

inline size_t bytes_of(DType t) { return t == DType::kBool ? 1 : 4; }
inline DType dtype_of(double code) {
  if (code < 0 || code > 2) fail(Error::kValue, "unknown element type");
  return static_cast<DType>(static_cast<int>(code));
}

}  // namespace vq
