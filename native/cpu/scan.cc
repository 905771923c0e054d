// Running sums and products, counts, and draws from rows of probabilities.
#include <algorithm>
#include <cmath>
#include <limits>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/philox.h"
#include "vq/scratch.h"
#include "vq/threads.h"
#include "vq/whole.h"

namespace vq {
namespace {

// Accumulates in double (int64 for integers), kLanes columns at a time, so that the walk along the axis reads whole lines.
constexpr int64_t kLanes = 64;

template <class T, class Wide>
void scan(Args& args, bool product, bool exclusive, bool reverse, int64_t outer, int64_t axis, int64_t inner) {
  const T* x = args.tensor<T>(outer * axis * inner);
  T* out = args.tensor<T>(outer * axis * inner);
  const int64_t blocks = (inner + kLanes - 1) / kLanes;
  parallel_for(outer * blocks, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, axis * std::min(inner, kLanes))), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const int64_t first = i % blocks * kLanes, n = std::min(kLanes, inner - first);
      Wide total[kLanes];
      std::fill(total, total + n, static_cast<Wide>(product));
      for (int64_t k = 0; k < axis; ++k) {
        const int64_t at = (i / blocks * axis + (reverse ? axis - 1 - k : k)) * inner + first;
        for (int64_t j = 0; j < n; ++j) {
          const Wide before = total[j];
          total[j] = product ? before * static_cast<Wide>(x[at + j]) : before + static_cast<Wide>(x[at + j]);
          out[at + j] = static_cast<T>(exclusive ? before : total[j]);
        }
      }
    }
  });
}

}  // namespace

// Arguments: product, exclusive, reverse, dtype, outer, axis, inner, x, out. Integers wrap.
VQ_OP(Cumulative) {
  const bool product = args.flag(), exclusive = args.flag(), reverse = args.flag();
  const DType dtype = dtype_of(args.number());
  const int64_t outer = args.integer(), axis = args.integer(), inner = args.integer();
  if (dtype == DType::kFloat32) scan<float, double>(args, product, exclusive, reverse, outer, axis, inner);
  else if (dtype == DType::kInt32) scan<int32_t, uint32_t>(args, product, exclusive, reverse, outer, axis, inner);
  else fail(Error::kValue, "booleans have no running sum; cast them first");
}

// out[r, v] = how often v stands in row r of x, weighted; what is not below `size` is not counted. Arguments: dtype of
// weights and out, binary, rows, columns, size, x, weights or nothing, out.
VQ_OP(Bincount) {
  const DType dtype = dtype_of(args.number());
  const bool binary = args.flag();
  const int64_t rows = args.integer(), columns = args.integer(), size = args.integer();
  const int32_t* x = args.tensor<int32_t>(rows * columns);
  for (int64_t i = 0; i < rows * columns; ++i)
    if (x[i] < 0) fail(Error::kValue, "Input x must be non-negative!");
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* weights = args.optional<T>(rows * columns);
    T* out = args.tensor<T>(rows * size);
    std::fill(out, out + rows * size, T{});
    for (int64_t i = 0; i < rows * columns; ++i) {
      if (x[i] >= size) continue;
      T& bin = out[i / columns * size + x[i]];
      bin = binary ? T(1) : plus(bin, weights ? weights[i] : T(1));
    }
  };
  if (dtype == DType::kFloat32) run(float{});
  else if (dtype == DType::kInt32) run(int32_t{});
  else fail(Error::kValue, "weights are numbers");
}

// Draws `samples` indices per row of probabilities, by inversion; Philox (seed, stream row). Arguments: seed (two words),
// normalized, rows, columns, samples, probabilities or logits, out.
VQ_OP(Multinomial) {
  const uint64_t low = static_cast<uint64_t>(args.number()), high = static_cast<uint64_t>(args.number());
  const bool normalized = args.flag();
  const int64_t rows = args.integer(), columns = args.integer(), samples = args.integer();
  const float* x = args.tensor<float>(rows * columns);
  int32_t* out = args.tensor<int32_t>(rows * samples);
  if (rows * samples == 0) return;
  check(columns > 0, "there is no outcome to draw");
  Scratch<double> sums(columns);
  for (int64_t r = 0; r < rows; ++r) {
    const float* p = x + r * columns;
    const float top = *std::max_element(p, p + columns);
    double total = 0;
    for (int64_t k = 0; k < columns; ++k) sums[k] = total += normalized ? std::max(0.0, static_cast<double>(p[k])) : std::exp(static_cast<double>(p[k]) - top);
    if (!(total > 0) || !std::isfinite(total)) fail(Error::kValue, "row " + std::to_string(r) + " is no distribution");
    Philox random(high << 32 | low, static_cast<uint64_t>(r));
    for (int64_t i = 0; i < samples; ++i) {
      const double* at = std::upper_bound(sums.data(), sums.data() + columns, random.uniform() * total);
      out[r * samples + i] = static_cast<int32_t>(std::min<int64_t>(at - sums.data(), columns - 1));
    }
  }
}

}  // namespace vq
