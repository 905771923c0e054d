// Quantizers without a codebook: codes, values and gradients of finite scalar and lookup-free quantization, each in one pass.
// The arithmetic is vq/fsq.h and vq/lfq.h, so results are the CPU's bits.
//
// A tile of rows is taken element by element, so that neighbours read neighbours; what each element adds to its row's code
// waits in shared memory for the row's thread.
#pragma once
#include "cuda/block.h"
#include "vq/fsq_levels.h"
#include "vq/lfq.h"

namespace vq::gpu {

constexpr int kMostColumns = static_cast<int>(kFsqMostDimensions);

// Work has Column, column(d), element(column, row, i) -> its part of the code, kCodes, and with kCodes row(row, code).
template <class Work>
struct OverRows {
  static constexpr int kThreads = 256, kRoom = 3072;
  struct Shared {
    typename Work::Column columns[kMostColumns];
    int32_t parts[Work::kCodes ? kRoom : 1];
  };
  using Registers = Nothing;
  Work work;
  int64_t n;
  int32_t dim;
  VQ_HD int pitch() const { return dim | 1; }  // rows begin in different banks
  VQ_HD int tile() const { return kRoom / pitch(); }
  VQ_HD int64_t blocks() const { return ceil_div(n, tile()); }
  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t first = block.index() * tile();
    const int rows = static_cast<int>(least(tile(), n - first));
    block.each([&](int thread, Nothing&) {
      if (thread < dim) s.columns[thread] = work.column(thread);
    });
    block.each([&](int thread, Nothing&) {
      int row = thread / dim, column = thread % dim;
      const int down = kThreads / dim, across = kThreads % dim;
      for (int i = thread; i < rows * dim; i += kThreads) {
        const int32_t part = work.element(s.columns[column], first + row, first * dim + i);
        if (Work::kCodes) s.parts[row * pitch() + column] = part;
        row += down, column += across;
        if (column >= dim) column -= dim, ++row;
      }
    });
    if constexpr (Work::kCodes)
      block.each([&](int thread, Nothing&) {
        for (int row = thread; row < rows; row += kThreads) {
          int32_t code = 0;
          for (int d = 0; d < dim; ++d) code += s.parts[row * pitch() + d];
          work.row(first + row, code);
        }
      });
  }
};
template <class Work>
OverRows<Work> over_rows(int64_t n, int64_t dim, const Work& work) {
  return {work, n, static_cast<int32_t>(dim)};
}

// FsqLevels for a kernel.
struct FsqTable {
  FsqColumn columns[kMostColumns];
  int32_t levels[kMostColumns], basis[kMostColumns];
};

struct FsqEncode {
  static constexpr bool kCodes = true;
  struct Column {
    FsqColumn of;
    int32_t basis;
  };
  FsqTable table;
  const float* z;
  int32_t* indices;             // [n] or null
  float *quantized, *bounded;   // [n, dim] or null
  int64_t* bad;                 // the first row that is not finite
  VQ_HD Column column(int d) const { return {table.columns[d], table.basis[d]}; }
  VQ_HD int32_t element(const Column& c, int64_t row, int64_t i) const {
    const float v = z[i];
    if (!finite(v)) note_first(bad, row);
    const float level = fsq_level(c.of, v);
    if (quantized) quantized[i] = fsq_value(c.of, level);
    if (bounded) bounded[i] = fsq_bounded(c.of, v);
    return static_cast<int32_t>(level) * c.basis;
  }
  VQ_HD void row(int64_t row, int32_t code) const {
    if (indices) indices[row] = code;
  }
};

struct FsqGradient {
  static constexpr bool kCodes = false;
  struct Column {
    FsqColumn of;
    float gain;
  };
  FsqTable table;
  const float *z, *g;
  float* out;
  VQ_HD Column column(int d) const { return {table.columns[d], fsq_gain(table.columns[d])}; }
  VQ_HD int32_t element(const Column& c, int64_t, int64_t i) const {
    out[i] = fsq_slope(c.of, c.gain, z[i]) * g[i];
    return 0;
  }
};

// Of an index outside the codes something finite comes out, and `bad` is the first such.
struct FsqDecode {
  static constexpr bool kCodes = false;
  struct Column {
    FsqColumn of;
    int32_t levels, basis;
  };
  FsqTable table;
  int32_t size;
  const int32_t* indices;
  float* out;
  int64_t* bad;
  VQ_HD Column column(int d) const { return {table.columns[d], table.levels[d], table.basis[d]}; }
  VQ_HD int32_t element(const Column& c, int64_t row, int64_t i) const {
    const int32_t code = indices[row];
    if (code < 0 || code >= size) note_first(bad, row);
    out[i] = fsq_value(c.of, static_cast<float>(code / c.basis % c.levels));
    return 0;
  }
};

struct LfqEncode {
  static constexpr bool kCodes = true;
  using Column = int32_t;  // what the bit is worth
  const float* z;
  int32_t bits;
  float scale;
  int32_t* indices;
  float* quantized;
  int64_t* bad;
  VQ_HD Column column(int d) const { return int32_t{1} << (bits - 1 - d); }
  VQ_HD int32_t element(Column worth, int64_t row, int64_t i) const {
    const float v = z[i];
    if (!finite(v)) note_first(bad, row);
    const int32_t bit = lfq_bit(v);
    if (quantized) quantized[i] = lfq_value(bit, scale);
    return bit * worth;
  }
  VQ_HD void row(int64_t row, int32_t code) const {
    if (indices) indices[row] = code;
  }
};

struct LfqDecode {
  static constexpr bool kCodes = false;
  using Column = int32_t;
  const int32_t* indices;
  int32_t bits;
  float scale;
  float* out;
  int64_t* bad;
  VQ_HD Column column(int d) const { return d; }
  VQ_HD int32_t element(Column d, int64_t row, int64_t i) const {
    const int32_t code = indices[row];
    if (code < 0 || (bits < 31 && code >> bits != 0)) note_first(bad, row);
    out[i] = lfq_value(lfq_bit_of(code, bits, d), scale);
    return 0;
  }
};

}  // namespace vq::gpu
