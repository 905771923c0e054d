// Element types as TypeScript numbers them (packages/core/src/backend/data.ts).
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "vq/error.h"

namespace vq {

enum class DType { kFloat32 = 0, kInt32 = 1, kBool = 2 };

inline size_t bytes_of(DType t) { return t == DType::kBool ? 1 : 4; }
template <class T>
constexpr DType dtype_for() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, int32_t> || std::is_same_v<T, uint8_t>);
  return std::is_same_v<T, float> ? DType::kFloat32 : std::is_same_v<T, int32_t> ? DType::kInt32 : DType::kBool;
}
inline const char* name_of(int type) { return type == 0 ? "float32" : type == 1 ? "int32" : "bool"; }
inline DType dtype_of(double code) {
  if (!(code >= 0 && code <= 2)) fail(Error::kValue, "unknown element type");
  return static_cast<DType>(static_cast<int>(code));
}

}  // namespace vq
