// Walks over arrays with arbitrary strides: sizes of one are dropped and neighbouring axes merged first, so that the
// innermost loop is as long as the layout allows.
#pragma once
#include <array>
#include <cstdint>

#include "vq/op.h"

namespace vq {

template <int Operands>
struct Walk {
  int rank = 0;
  std::array<int64_t, Shape::kMaxRank + 1> size{};
  std::array<std::array<int64_t, Shape::kMaxRank + 1>, Operands> stride{};

  void add(int64_t n, const std::array<int64_t, Operands>& s) {
    if (n == 1) return;
    if (rank > 0) {
      bool merges = true;
      for (int o = 0; o < Operands; ++o) merges &= stride[o][rank - 1] == s[o] * n;
      if (merges) {
        size[rank - 1] *= n;
        for (int o = 0; o < Operands; ++o) stride[o][rank - 1] = s[o];
        return;
      }
    }
    size[rank] = n;
    for (int o = 0; o < Operands; ++o) stride[o][rank] = s[o];
    ++rank;
  }
  // At least one axis, so that the innermost always exists.
  void finish() {
    if (rank == 0) {
      size[0] = 1;
      rank = 1;
    }
  }
  int64_t inner() const { return size[rank - 1]; }
  int64_t outer() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank; ++i) n *= size[i];
    return n;
  }
  // Offsets of outer position `index`.
  std::array<int64_t, Operands> offsets(int64_t index) const {
    std::array<int64_t, Operands> at{};
    for (int i = rank - 2; i >= 0; --i) {
      const int64_t k = index % size[i];
      index /= size[i];
      for (int o = 0; o < Operands; ++o) at[o] += k * stride[o][i];
    }
    return at;
  }
};

// Row-major strides of a shape.
inline std::array<int64_t, Shape::kMaxRank> strides_of(const Shape& s) {
  std::array<int64_t, Shape::kMaxRank> out{};
  int64_t step = 1;
  for (int i = s.rank - 1; i >= 0; --i) {
    out[i] = step;
    step *= s.dim[i];
  }
  return out;
}

}  // namespace vq
