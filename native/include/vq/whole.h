// Whole numbers as JavaScript's typed arrays hold them: arithmetic wraps, and nothing is undefined behaviour.
#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace vq {

// A number stored in an Int32Array: cut towards zero, modulo 2^32, 0 for NaN and infinities.
inline int32_t to_int32(double v) {
  if (!(std::fabs(v) < 9.0e18)) {
    if (!std::isfinite(v)) return 0;
    v = std::fmod(v, 4294967296.0);
  }
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<int64_t>(v)));
}

// The same for any element type.
template <class T>
T stored(double v) {
  if constexpr (std::is_same_v<T, int32_t>) return to_int32(v);
  else if constexpr (std::is_same_v<T, uint8_t>) return static_cast<uint8_t>(to_int32(v));
  else return static_cast<T>(v);
}

template <class T>
using Wrapping = std::conditional_t<std::is_same_v<T, int32_t>, uint32_t, T>;
template <class T>
T plus(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
}
template <class T>
T minus(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
}
template <class T>
T times(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
}

}  // namespace vq
