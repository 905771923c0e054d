// Kernels that compare elements with each other: the largest, the place in a sorted row, the distinct slices.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/scratch.h"
#include "vq/threads.h"

namespace vq {
namespace {

// The k largest of each row in descending order, equals by ascending index, NaN before all.
template <class T>
void top(Args& args, int64_t rows, int64_t columns, int64_t k) {
  const T* x = args.tensor<T>(rows * columns);
  T* values = args.tensor<T>(rows * k);
  int32_t* indices = args.tensor<int32_t>(rows * k);
  parallel_for(rows, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, columns)), args.ctx.threads, [&](int64_t b, int64_t e) {
    Scratch<int32_t> order(columns);
    for (int64_t r = b; r < e; ++r) {
      const T* p = x + r * columns;
      std::iota(order.data(), order.data() + columns, 0);
      std::partial_sort(order.data(), order.data() + k, order.data() + columns, [p](int32_t i, int32_t j) {
        const bool nan_i = p[i] != p[i], nan_j = p[j] != p[j];
        if (nan_i || nan_j) return nan_i == nan_j ? i < j : nan_i;
        return p[i] != p[j] ? p[i] > p[j] : i < j;
      });
      for (int64_t i = 0; i < k; ++i) {
        indices[r * k + i] = order[i];
        values[r * k + i] = p[order[i]];
      }
    }
  });
}

}  // namespace

// Arguments: dtype, rows, columns, k, x, values, indices.
VQ_OP(TopK) {
  const DType dtype = dtype_of(args.number());
  const int64_t rows = args.integer(), columns = args.integer(), k = args.integer();
  check(k >= 0 && k <= columns, "k is larger than a row");
  if (k == 0) return;
  if (dtype == DType::kFloat32) top<float>(args, rows, columns, k);
  else if (dtype == DType::kInt32) top<int32_t>(args, rows, columns, k);
  else top<uint8_t>(args, rows, columns, k);
}

// Where each value would be inserted into its sorted row: before equals, or behind them (`upper`). Arguments: dtype, upper,
// rows, length of a sorted row, values per row, sorted, values, out.
VQ_OP(SearchSorted) {
  const DType dtype = dtype_of(args.number());
  const bool upper = args.flag();
  const int64_t rows = args.integer(), length = args.integer(), count = args.integer();
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* sorted = args.tensor<T>(rows * length);
    const T* values = args.tensor<T>(rows * count);
    int32_t* out = args.tensor<int32_t>(rows * count);
    parallel_for(rows * count, 1 << 12, args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) {
        const T* row = sorted + i / count * length;
        const T* at = upper ? std::upper_bound(row, row + length, values[i]) : std::lower_bound(row, row + length, values[i]);
        out[i] = static_cast<int32_t>(at - row);
      }
    });
  };
  if (dtype == DType::kFloat32) run(float{});
  else if (dtype == DType::kInt32) run(int32_t{});
  else run(uint8_t{});
}

// The distinct slices along an axis, in order of first appearance: indices[i] is the number of slice i's value, firsts[j]
// where value j stands first; the answer is how many there are. −0 equals 0, NaN equals NaN. Arguments: dtype, outer,
// axis, inner, x, indices, firsts.
VQ_OP(Unique) {
  const DType dtype = dtype_of(args.number());
  const int64_t outer = args.integer(), axis = args.integer(), inner = args.integer(), n = outer * inner;
  std::vector<int32_t> keys(static_cast<size_t>(axis * n));
  auto fill = [&](const auto* x) {
    for (int64_t a = 0; a < axis; ++a)
      for (int64_t o = 0; o < outer; ++o)
        for (int64_t i = 0; i < inner; ++i) {
          const auto v = x[(o * axis + a) * inner + i];
          int32_t bits = 0x7fc00000;
          if (v == 0) bits = 0;
          else if (v == v) std::memcpy(&bits, &v, sizeof(v));
          keys[a * n + o * inner + i] = bits;
        }
  };
  if (dtype == DType::kFloat32) fill(args.tensor<float>(axis * n));
  else if (dtype == DType::kInt32) fill(args.tensor<int32_t>(axis * n));
  else fill(args.tensor<uint8_t>(axis * n));
  int32_t* indices = args.tensor<int32_t>(axis);
  int32_t* firsts = args.tensor<int32_t>(axis);
  std::unordered_map<std::string_view, int32_t> seen;
  for (int64_t a = 0; a < axis; ++a) {
    const std::string_view key(reinterpret_cast<const char*>(keys.data() + a * n), static_cast<size_t>(n) * sizeof(int32_t));
    const auto [at, fresh] = seen.emplace(key, static_cast<int32_t>(seen.size()));
    if (fresh) firsts[at->second] = static_cast<int32_t>(a);
    indices[a] = at->second;
  }
  args.answer(static_cast<double>(seen.size()));
}

}  // namespace vq
