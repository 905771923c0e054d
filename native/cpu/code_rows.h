// The rows of each code, ascending: a counting sort, so that sums run over one code at a time in row order.
#pragma once
#include <cstdint>

#include "vq/quantize.h"

namespace vq {

class CodeRows {
 public:
  // An index of -1 leaves its row out; any other outside [0, k) fails and names the row. Indices are read once.
  void sort(const int32_t* indices, int64_t n, int64_t k);
  const int32_t* rows(int64_t code) const { return rows_.data() + start_[code]; }
  int64_t count(int64_t code) const { return start_[code + 1] - start_[code]; }
  // Ranges of codes with about equally many rows, one per thread: the code where range `part` of `parts` begins.
  int64_t split(int part, int parts) const;

 private:
  int64_t k_ = 0;
  Scratch<int32_t> rows_, codes_;
  Scratch<int64_t> start_;
};

}  // namespace vq
