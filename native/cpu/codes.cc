// Finite scalar and lookup-free quantization: rows to threads, digits to codes and back.
#include "vq/codes.h"

#include <algorithm>
#include <string>

#include "cpu/level_kernels.h"
#include "cpu/quantize_kernels.h"
#include "cpu/row_blocks.h"
#include "vq/error.h"
#include "vq/threads.h"

namespace vq {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements per thread at least

int64_t grain(int64_t dim) { return std::max<int64_t>(FsqPattern::kRepeat, kGrain / std::max<int64_t>(1, dim)); }

// One pass that a NaN or an infinity survives; then the row is looked for.
bool all_finite(const float* z, int64_t count) {
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += z[i] * 0.0f;
  return sum == 0;
}
void note_rows(const float* z, int64_t begin, int64_t end, int64_t dim, FirstRow& bad) {
  if (all_finite(z + begin * dim, (end - begin) * dim)) return;
  for (int64_t r = begin; r < end; ++r)
    if (!finite(z + r * dim, dim)) return bad.note(r);
}
void refuse(const FirstRow& bad, const float* z, int64_t dim) {
  if (bad.any())
    fail(Error::kValue, "row " + std::to_string(bad.row()) + " has no code: it " + describe_row(z + bad.row() * dim, dim, ""));
}

// body(first row, rows) over all rows, kRepeat at a time, threads apart.
template <class Body>
void over_rows(int64_t n, int64_t dim, const CallOptions& options, const Body& body) {
  parallel_for(n, grain(dim), options.threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r += FsqPattern::kRepeat) {
      if (options.stop && options.stop->load(std::memory_order_relaxed)) return;
      body(r, std::min<int64_t>(FsqPattern::kRepeat, end - r));
    }
  });
  if (options.stop && options.stop->load()) throw Stopped();
}

void expect_code(int32_t code, int64_t size, int64_t row) {
  if (code < 0 || code >= size)
    fail(Error::kValue, "index " + std::to_string(code) + " of row " + std::to_string(row) + " is outside the " +
                            std::to_string(size) + " codes");
}

}  // namespace

FsqPattern::FsqPattern(const FsqLevels& of) : dim(of.dim()), length(kRepeat * of.dim()) {
  for (Scratch<float>* s : {&shift, &scale, &offset, &zero, &step, &centre, &width, &gain})
    s->reset(static_cast<size_t>(length));
  for (int64_t i = 0; i < length; ++i) {
    const gpu::FsqColumn& c = of.columns[i % dim];
    shift[i] = c.shift, scale[i] = c.scale, offset[i] = c.offset, zero[i] = c.zero;
    step[i] = c.step, centre[i] = c.centre, width[i] = c.width;
    gain[i] = gpu::fsq_gain(c);
  }
}

const LevelKernels& level_kernels() {
  const LevelKernels* simd = simd_levels(quant_kernels().name);
  return simd ? *simd : *scalar_levels();
}

void fsq_encode(const float* z, int64_t n, const FsqLevels& levels, float* quantized, int32_t* indices,
                const CallOptions& options) {
  const FsqPattern pattern(levels);
  const LevelKernels& k = level_kernels();
  const int64_t dim = levels.dim();
  FirstRow bad;
  over_rows(n, dim, options, [&](int64_t r, int64_t rows) {
    note_rows(z, r, r + rows, dim, bad);
    float level[FsqPattern::kRepeat * 31];
    k.levels(pattern, z + r * dim, rows * dim, level, quantized ? quantized + r * dim : nullptr);
    if (!indices || bad.any()) return;
    for (int64_t i = 0; i < rows; ++i) {
      int32_t code = 0;
      for (int64_t d = 0; d < dim; ++d) code += static_cast<int32_t>(level[i * dim + d]) * levels.basis[d];
      indices[r + i] = code;
    }
  });
  refuse(bad, z, dim);
}

void fsq_bound(const float* z, int64_t n, const FsqLevels& levels, float* bounded, const CallOptions& options) {
  const FsqPattern pattern(levels);
  const LevelKernels& k = level_kernels();
  const int64_t dim = levels.dim();
  FirstRow bad;
  over_rows(n, dim, options, [&](int64_t r, int64_t rows) {
    note_rows(z, r, r + rows, dim, bad);
    k.bounded(pattern, z + r * dim, rows * dim, bounded + r * dim);
  });
  refuse(bad, z, dim);
}

void fsq_gradient(const float* z, const float* dy, int64_t n, const FsqLevels& levels, float* dz, const CallOptions& options) {
  const FsqPattern pattern(levels);
  const LevelKernels& k = level_kernels();
  const int64_t dim = levels.dim();
  over_rows(n, dim, options, [&](int64_t r, int64_t rows) {
    k.gradient(pattern, z + r * dim, dy + r * dim, rows * dim, dz + r * dim);
  });
}

void fsq_decode(const int32_t* indices, int64_t n, const FsqLevels& levels, float* out, const CallOptions& options) {
  const int64_t dim = levels.dim();
  for (int64_t r = 0; r < n; ++r) expect_code(indices[r], levels.size, r);
  over_rows(n, dim, options, [&](int64_t first, int64_t rows) {
    for (int64_t r = first; r < first + rows; ++r) {
      int32_t rest = indices[r];
      for (int64_t d = 0; d < dim; ++d) {
        out[r * dim + d] = gpu::fsq_value(levels.columns[d], static_cast<float>(rest % levels.levels[d]));
        rest /= levels.levels[d];
      }
    }
  });
}

void lfq_encode(const float* z, int64_t n, int64_t bits, float scale, float* quantized, int32_t* indices,
                const CallOptions& options) {
  if (bits < 1 || bits > 31) fail(Error::kConfig, "bits are outside 1 to 31");
  FirstRow bad;
  over_rows(n, bits, options, [&](int64_t first, int64_t rows) {
    note_rows(z, first, first + rows, bits, bad);
    const float* from = z + first * bits;
    if (quantized)
      for (int64_t i = 0; i < rows * bits; ++i) quantized[first * bits + i] = gpu::lfq_value(gpu::lfq_bit(from[i]), scale);
    if (!indices) return;
    for (int64_t r = 0; r < rows; ++r) {
      int32_t code = 0;
      for (int64_t j = 0; j < bits; ++j) code = gpu::lfq_append(code, gpu::lfq_bit(from[r * bits + j]));
      indices[first + r] = code;
    }
  });
  refuse(bad, z, bits);
}

void expect_finite_rows(const float* z, int64_t n, int64_t dim, const CallOptions& options) {
  FirstRow bad;
  over_rows(n, dim, options, [&](int64_t first, int64_t rows) { note_rows(z, first, first + rows, dim, bad); });
  refuse(bad, z, dim);
}

void lfq_decode(const int32_t* indices, int64_t n, int64_t bits, float scale, float* out, const CallOptions& options) {
  if (bits < 1 || bits > 31) fail(Error::kConfig, "bits are outside 1 to 31");
  for (int64_t r = 0; r < n; ++r) expect_code(indices[r], int64_t{1} << bits, r);
  over_rows(n, bits, options, [&](int64_t first, int64_t rows) {
    for (int64_t r = first; r < first + rows; ++r)
      for (int64_t j = 0; j < bits; ++j)
        out[r * bits + j] = gpu::lfq_value(gpu::lfq_bit_of(indices[r], bits, j), scale);
  });
}

}  // namespace vq
