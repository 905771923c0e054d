// Kernels that address slices by coordinates: x seen as [size, inner], size the product of the `depth` leading axes that
// each row of indices [count, depth] names.
#include <algorithm>
#include <cstring>
#include <string>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/whole.h"

namespace vq {
namespace {

struct Coordinates {
  int64_t count;
  Shape lead;
  const int32_t* indices;

  explicit Coordinates(Args& args) : count(args.integer()), lead(args.shape()) {
    indices = args.tensor<int32_t>(count * lead.rank);
  }
  // The slice that row i of the indices names.
  int64_t slice(int64_t i) const {
    int64_t at = 0;
    for (int d = 0; d < lead.rank; ++d) {
      const int32_t k = indices[i * lead.rank + d];
      if (k < 0 || k >= lead.dim[d])
        fail(Error::kValue, "invalid indices: " + std::to_string(k) + " does not index into an axis of size " + std::to_string(lead.dim[d]));
      at = at * lead.dim[d] + k;
    }
    return at;
  }
};

}  // namespace

// out[i, :] = x[indices[i], :]. Arguments: dtype, count, leading shape, indices, inner, x, out.
VQ_OP(GatherNd) {
  const DType dtype = dtype_of(args.number());
  const Coordinates at(args);
  const int64_t inner = args.integer(), row = inner * static_cast<int64_t>(bytes_of(dtype));
  const uint8_t* x = args.bytes(dtype, at.lead.size() * inner);
  uint8_t* out = args.bytes(dtype, at.count * inner);
  parallel_for(at.count, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, row)), args.ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) std::memcpy(out + i * row, x + at.slice(i) * row, row);
  });
}

// out[indices[i], :] = or += updates[i, :], in ascending i; `single`: one update for all. Arguments: add, single, dtype,
// count, leading shape, indices, inner, updates, out.
VQ_OP(Scatter) {
  const bool add = args.flag(), single = args.flag();
  const DType dtype = dtype_of(args.number());
  const Coordinates at(args);
  const int64_t inner = args.integer();
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* updates = args.tensor<T>(single ? inner : at.count * inner);
    T* out = args.tensor<T>(at.lead.size() * inner);
    for (int64_t i = 0; i < at.count; ++i) {
      T* o = out + at.slice(i) * inner;
      const T* u = single ? updates : updates + i * inner;
      for (int64_t k = 0; k < inner; ++k) {
        if constexpr (std::is_same_v<T, uint8_t>) o[k] = add ? o[k] || u[k] : u[k];
        else o[k] = add ? plus(o[k], u[k]) : u[k];
      }
    }
  };
  if (dtype == DType::kFloat32) run(float{});
  else if (dtype == DType::kInt32) run(int32_t{});
  else run(uint8_t{});
}

// Sum or mean of the rows x[indices[i], :] of each segment; segments ascend, one without rows stays 0. Arguments: mean,
// dtype, count, rows, inner, segments, x, indices, segment ids, out.
VQ_OP(SparseSegments) {
  const bool mean = args.flag();
  const DType dtype = dtype_of(args.number());
  const int64_t count = args.integer(), rows = args.integer(), inner = args.integer(), segments = args.integer();
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* x = args.tensor<T>(rows * inner);
    const int32_t *indices = args.tensor<int32_t>(count), *ids = args.tensor<int32_t>(count);
    T* out = args.tensor<T>(segments * inner);
    std::fill(out, out + segments * inner, T{});
    for (int64_t begin = 0, end; begin < count; begin = end) {
      const int32_t segment = ids[begin];
      if (segment < 0 || segment >= segments) fail(Error::kValue, "segment " + std::to_string(segment) + " is outside " + std::to_string(segments));
      T* o = out + segment * inner;
      for (end = begin; end < count && ids[end] == segment; ++end) {
        if (indices[end] < 0 || indices[end] >= rows) fail(Error::kValue, "indices[" + std::to_string(end) + "] == " + std::to_string(indices[end]) + " out of range [0, " + std::to_string(rows) + ")");
        for (int64_t k = 0; k < inner; ++k) o[k] = plus(o[k], x[indices[end] * inner + k]);
      }
      if (mean)
        for (int64_t k = 0; k < inner; ++k) o[k] /= static_cast<T>(end - begin);
    }
  };
  if (dtype == DType::kFloat32) run(float{});
  else if (dtype == DType::kInt32) run(int32_t{});
  else fail(Error::kValue, "booleans have no sum; cast them first");
}

}  // namespace vq
