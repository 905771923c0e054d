// The levels of finite scalar quantization, checked, with what a code is made of.
#pragma once
#include <cstdint>
#include <vector>

#include "vq/error.h"
#include "vq/fsq.h"

namespace vq {

constexpr int64_t kFsqMostDimensions = 31;

// The levels of each dimension, at least 2; their product is at most 2^31 - 1. The first dimension's digit of a code is
// the lowest.
class FsqLevels {
 public:
  FsqLevels(const std::vector<int64_t>& all, gpu::FsqBound how) : bound(static_cast<int32_t>(how)) {
    if (all.empty()) fail(Error::kConfig, "there are no levels");
    for (const int64_t l : all) {
      if (l < 2 || l > gpu::kFsqMostLevels) fail(Error::kConfig, "a number of levels is outside 2 to 65536");
      columns.push_back(gpu::fsq_column(static_cast<int32_t>(l), how));
      levels.push_back(static_cast<int32_t>(l));
      basis.push_back(static_cast<int32_t>(size));
      size *= l;
      if (size > INT32_MAX) fail(Error::kConfig, "the product of the levels is over 2^31 - 1");
    }
  }
  int64_t dim() const { return static_cast<int64_t>(columns.size()); }
  std::vector<gpu::FsqColumn> columns;
  std::vector<int32_t> levels, basis;
  int64_t size = 1;  // number of codes
  int32_t bound;
};

}  // namespace vq
