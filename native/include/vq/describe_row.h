// What is said about a row that cannot be quantized.
#pragma once
#include <cmath>
#include <cstdint>
#include <string>

namespace vq {

inline std::string describe_row(const float* row, int64_t dim, const char* otherwise) {
  for (int64_t d = 0; d < dim; ++d) {
    if (std::isnan(row[d])) return "holds a NaN at element " + std::to_string(d);
    if (std::isinf(row[d])) return "holds an infinity at element " + std::to_string(d);
  }
  return otherwise;
}

}  // namespace vq
