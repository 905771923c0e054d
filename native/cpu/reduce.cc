// Reductions over [outer, axis, inner] to [outer, inner]. Sums add fixed chunks and combine them in order, so that the
// number of threads changes nothing.
#include <algorithm>
#include <cmath>
#include <limits>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/whole.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/reduce.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {

// Sum of n floats in 64 interleaved partial sums.
float sum_run(const float* x, int64_t n) {
  float lane[64] = {};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (int k = 0; k < 64; ++k) lane[k] += x[i + k];
  for (int k = 0; i + k < n; ++k) lane[k] += x[i + k];
  for (int width = 32; width > 0; width /= 2)
    for (int k = 0; k < width; ++k) lane[k] += lane[k + width];
  return lane[0];
}

// out[inner] = sum of `rows` rows.
void sum_rows(const float* HWY_RESTRICT x, int64_t rows, int64_t inner, float* HWY_RESTRICT out) {
  std::fill(out, out + inner, 0.0f);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < inner; ++k) out[k] += x[r * inner + k];
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(sum_run);
HWY_EXPORT(sum_rows);
namespace {

constexpr int64_t kRun = 1 << 14;   // elements of one partial sum along a contiguous axis
constexpr int64_t kRows = 1 << 9;   // rows of one partial sum otherwise

void sum_float(Context& c, int64_t outer, int64_t axis, int64_t inner, const float* x, float scale, float* out) {
  if (inner == 1) {
    const int64_t chunks = std::max<int64_t>(1, (axis + kRun - 1) / kRun);
    if (chunks == 1) {
      parallel_for(outer, std::max<int64_t>(1, kRun / std::max<int64_t>(1, axis)), c.threads, [&](int64_t b, int64_t e) {
        for (int64_t o = b; o < e; ++o) out[o] = HWY_DYNAMIC_DISPATCH(sum_run)(x + o * axis, axis) * scale;
      });
      return;
    }
    float* partial = static_cast<float*>(c.scratch(outer * chunks * sizeof(float)));
    parallel_for(outer * chunks, 1, c.threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        const int64_t o = i / chunks, start = i % chunks * kRun;
        partial[i] = HWY_DYNAMIC_DISPATCH(sum_run)(x + o * axis + start, std::min(kRun, axis - start));
      }
    });
    for (int64_t o = 0; o < outer; ++o) {
      double total = 0;
      for (int64_t k = 0; k < chunks; ++k) total += partial[o * chunks + k];
      out[o] = static_cast<float>(total * scale);
    }
    return;
  }
  const int64_t chunks = std::max<int64_t>(1, (axis + kRows - 1) / kRows);
  float* partial = static_cast<float*>(c.scratch(outer * chunks * inner * sizeof(float)));
  parallel_for(outer * chunks, std::max<int64_t>(1, kRun / (std::min(axis, kRows) * inner + 1)), c.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t o = i / chunks, start = i % chunks * kRows;
      HWY_DYNAMIC_DISPATCH(sum_rows)(x + (o * axis + start) * inner, std::min(kRows, axis - start), inner, partial + i * inner);
    }
  });
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t k = 0; k < inner; ++k) {
      double total = 0;
      for (int64_t j = 0; j < chunks; ++j) total += partial[(o * chunks + j) * inner + k];
      out[o * inner + k] = static_cast<float>(total * scale);
    }
}

template <class T, class R, class Step>
void fold(Context& c, int64_t outer, int64_t axis, int64_t inner, const T* x, R* out, Step step) {
  parallel_for(outer, std::max<int64_t>(1, kRun / std::max<int64_t>(1, axis * inner)), c.threads, [&](int64_t b, int64_t e) {
    for (int64_t o = b; o < e; ++o)
      for (int64_t k = 0; k < inner; ++k) out[o * inner + k] = step(x + o * axis * inner + k);
  });
}

}  // namespace

// Sum times `scale` (1 / axis for a mean). Arguments: dtype, outer, axis, inner, scale, x, out.
VQ_OP(Sum) {
  const DType dtype = dtype_of(args.number());
  const int64_t outer = args.integer(), axis = args.integer(), inner = args.integer();
  const double scale = args.number();
  if (dtype == DType::kFloat32) {
    const float* x = args.tensor<float>(outer * axis * inner);
    float* out = args.tensor<float>(outer * inner);
    sum_float(args.ctx, outer, axis, inner, x, static_cast<float>(scale), out);
  } else if (dtype == DType::kInt32) {
    const int32_t* x = args.tensor<int32_t>(outer * axis * inner);
    int32_t* out = args.tensor<int32_t>(outer * inner);
    fold(args.ctx, outer, axis, inner, x, out, [=](const int32_t* p) {
      int64_t total = 0;
      for (int64_t i = 0; i < axis; ++i) total += p[i * inner];
      return to_int32(scale == 1 ? static_cast<double>(total) : total * scale);
    });
  } else {
    fail(Error::kValue, "booleans have no sum; cast them first");
  }
}

// Max, Min, Prod by `which` 0, 1, 2. Arguments: which, dtype, outer, axis, inner, x, out. NaN wins.
VQ_OP(Extreme) {
  const int64_t which = args.integer();
  const DType dtype = dtype_of(args.number());
  const int64_t outer = args.integer(), axis = args.integer(), inner = args.integer();
  auto run = [&](auto* x, auto* out) {
    using T = std::remove_reference_t<decltype(out[0])>;
    fold(args.ctx, outer, axis, inner, x, out, [=](const T* p) {
      T best = which == 2 ? T(1)
               : which == 0 ? (std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest())
                            : (std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max());
      for (int64_t i = 0; i < axis; ++i) {
        const T v = p[i * inner];
        if (which == 2) best = times(best, v);
        else if ((which == 0 ? v > best : v < best) || v != v) best = v;
        if (which != 2 && best != best) break;
      }
      return best;
    });
  };
  if (dtype == DType::kFloat32) {
    const float* x = args.tensor<float>(outer * axis * inner);
    run(x, args.tensor<float>(outer * inner));
  } else if (dtype == DType::kInt32) {
    const int32_t* x = args.tensor<int32_t>(outer * axis * inner);
    run(x, args.tensor<int32_t>(outer * inner));
  } else {
    fail(Error::kValue, "not defined for booleans");
  }
}

// All (0) or Any (1). Arguments: which, outer, axis, inner, x, out.
VQ_OP(Logical) {
  const int64_t which = args.integer(), outer = args.integer(), axis = args.integer(), inner = args.integer();
  const uint8_t* x = args.tensor<uint8_t>(outer * axis * inner);
  uint8_t* out = args.tensor<uint8_t>(outer * inner);
  fold(args.ctx, outer, axis, inner, x, out, [=](const uint8_t* p) -> uint8_t {
    bool all = true, any = false;
    for (int64_t i = 0; i < axis; ++i) {
      all &= p[i * inner] != 0;
      any |= p[i * inner] != 0;
    }
    return which == 0 ? all : any;
  });
}

// Index of the largest (0) or smallest (1), the first of equals. Arguments: which, dtype, outer, axis, inner, x, out.
VQ_OP(ArgExtreme) {
  const int64_t which = args.integer();
  const DType dtype = dtype_of(args.number());
  const int64_t outer = args.integer(), axis = args.integer(), inner = args.integer();
  auto run = [&](auto* x) {
    using T = std::remove_const_t<std::remove_reference_t<decltype(x[0])>>;
    int32_t* out = args.tensor<int32_t>(outer * inner);
    fold(args.ctx, outer, axis, inner, x, out, [=](const T* p) -> int32_t {
      int64_t best = 0;
      for (int64_t i = 1; i < axis; ++i)
        if (which == 0 ? p[i * inner] > p[best * inner] : p[i * inner] < p[best * inner]) best = i;
      return static_cast<int32_t>(best);
    });
  };
  if (dtype == DType::kFloat32) run(args.tensor<float>(outer * axis * inner));
  else if (dtype == DType::kInt32) run(args.tensor<int32_t>(outer * axis * inner));
  else run(args.tensor<uint8_t>(outer * axis * inner));
}

// √ is left to the caller: the sum of squares over many tensors, in double. Arguments: count, then (size, tensor) pairs.
VQ_OP(SumOfSquares) {
  double total = 0;
  for (int64_t i = args.integer(); i > 0; --i) {
    const int64_t n = args.integer();
    const float* x = args.tensor<float>(n);
    const int64_t chunks = (n + kRun - 1) / kRun;
    double* partial = static_cast<double*>(args.ctx.scratch(std::max<int64_t>(1, chunks) * sizeof(double)));
    parallel_for(chunks, 4, args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t k = b; k < e; ++k) {
        double s[8] = {};
        const int64_t end = std::min(n, (k + 1) * kRun);
        int64_t j = k * kRun;
        for (; j + 8 <= end; j += 8)
          for (int l = 0; l < 8; ++l) s[l] += static_cast<double>(x[j + l]) * x[j + l];
        for (; j < end; ++j) s[0] += static_cast<double>(x[j]) * x[j];
        partial[k] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
      }
    });
    for (int64_t k = 0; k < chunks; ++k) total += partial[k];
  }
  args.answer(total);
}

}  // namespace vq
#endif  // HWY_ONCE
