// Kernels that move data: one strided copy serves transpose, slice, concat, pad, tile, reverse; plus gather and scatter.
#include <algorithm>
#include <cstring>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/strided.h"
#include "vq/threads.h"
#include "vq/whole.h"

namespace vq {
namespace {

// Transposes: the last axis is written in order, another is read in order. Going along both in turn, in tiles that the cache
// holds, uses whole cache lines of either. Returns whether the walk is of that kind.
template <class T>
bool copy_tiles(const Walk<2>& walk, const T* src, T* dst, int threads) {
  constexpr int64_t kTile = 32;
  const int last = walk.rank - 1;
  int other = -1;
  for (int i = 0; i < last; ++i)
    if (walk.stride[0][i] == 1) other = i;
  if (other < 0 || walk.stride[1][last] != 1 || walk.stride[0][last] < 8 || walk.inner() < 8 || walk.size[other] < 8) return false;
  Walk<2> rest;  // every other axis, and one of a single place in the end
  for (int i = 0; i < last; ++i) {
    if (i == other) continue;
    rest.size[rest.rank] = walk.size[i];
    for (int o = 0; o < 2; ++o) rest.stride[o][rest.rank] = walk.stride[o][i];
    ++rest.rank;
  }
  rest.size[rest.rank++] = 1;
  const int64_t n = walk.inner(), m = walk.size[other], ss = walk.stride[0][last], sd = walk.stride[1][other];
  const int64_t strips = (m + kTile - 1) / kTile;
  parallel_for(rest.outer() * strips, std::max<int64_t>(1, (1 << 15) / (kTile * n)), threads, [&](int64_t b, int64_t e) {
    for (int64_t task = b; task < e; ++task) {
      const auto at = rest.offsets(task / strips);
      const int64_t j0 = task % strips * kTile, j1 = std::min(m, j0 + kTile);
      for (int64_t k0 = 0; k0 < n; k0 += kTile) {
        const int64_t k1 = std::min(n, k0 + kTile);
        for (int64_t j = j0; j < j1; ++j) {
          const T* s = src + at[0] + j;
          T* d = dst + at[1] + j * sd;
          for (int64_t k = k0; k < k1; ++k) d[k] = s[k * ss];
        }
      }
    }
  });
  return true;
}

template <class T>
void copy_walk(const Walk<2>& walk, const T* src, T* dst, int threads) {
  if (copy_tiles(walk, src, dst, threads)) return;
  const int64_t inner = walk.inner(), ss = walk.stride[0][walk.rank - 1], sd = walk.stride[1][walk.rank - 1];
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, inner));
  parallel_for(walk.outer(), grain, threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) {
      const auto at = walk.offsets(i);
      const T* s = src + at[0];
      T* d = dst + at[1];
      if (ss == 1 && sd == 1) std::memcpy(d, s, inner * sizeof(T));
      else if (ss == 0 && sd == 1) std::fill(d, d + inner, *s);
      else for (int64_t k = 0; k < inner; ++k) d[k * sd] = s[k * ss];
    }
  });
}

// First and one past the last element that a walk touches, relative to its offset.
std::pair<int64_t, int64_t> reach(const Shape& s, const Shape& strides) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < s.rank; ++i) {
    const int64_t far = (s.dim[i] - 1) * strides.dim[i];
    (far < 0 ? low : high) += far;
  }
  return {low, high + 1};
}

}  // namespace

// Copies an array of `shape` between two strided layouts. Arguments: dtype, shape, src, its offset, rank strides, dst,
// its offset, rank strides.
VQ_OP(StridedCopy) {
  const DType dtype = dtype_of(args.number());
  const size_t each = bytes_of(dtype);
  const Shape shape = args.shape();
  Buffer* buffers[2];
  int64_t offset[2];
  Shape strides[2];
  for (int k = 0; k < 2; ++k) {
    buffers[k] = &args.buffer(dtype);
    offset[k] = args.integer();
    strides[k].rank = shape.rank;
    for (int i = 0; i < shape.rank; ++i) strides[k].dim[i] = args.integer();
  }
  if (shape.size() == 0) return;
  Walk<2> walk;
  for (int i = 0; i < shape.rank; ++i) walk.add(shape.dim[i], {strides[0].dim[i], strides[1].dim[i]});
  walk.finish();
  for (int k = 0; k < 2; ++k) {
    const auto [low, high] = reach(shape, strides[k]);
    check(offset[k] + low >= 0 && (offset[k] + high) * static_cast<int64_t>(each) <= static_cast<int64_t>(buffers[k]->bytes),
          "a strided copy would leave its buffer");
  }
  if (each == 4)
    copy_walk(walk, static_cast<const int32_t*>(buffers[0]->data) + offset[0], static_cast<int32_t*>(buffers[1]->data) + offset[1], args.ctx.threads);
  else
    copy_walk(walk, static_cast<const uint8_t*>(buffers[0]->data) + offset[0], static_cast<uint8_t*>(buffers[1]->data) + offset[1], args.ctx.threads);
}

// out[b, o, i, :] = x[b, o, indices[b, i], :]. Arguments: dtype, batch, outer, axis size, count, inner, x, indices, out.
VQ_OP(GatherV2) {
  const DType dtype = dtype_of(args.number());
  const size_t each = bytes_of(dtype);
  const int64_t batch = args.integer(), outer = args.integer(), axis = args.integer(), count = args.integer(), inner = args.integer();
  const uint8_t* x = args.bytes(dtype, batch * outer * axis * inner);
  const int32_t* indices = args.tensor<int32_t>(batch * count);
  uint8_t* out = args.bytes(dtype, batch * outer * count * inner);
  for (int64_t i = 0; i < batch * count; ++i)
    if (indices[i] < 0 || indices[i] >= axis)
      fail(Error::kValue, "the index value " + std::to_string(indices[i]) + " is not in [0, " + std::to_string(axis - 1) + "]");
  const size_t row = inner * each;
  parallel_for(batch * outer * count, std::max<int64_t>(1, (1 << 16) / std::max<size_t>(1, row)), args.ctx.threads,
               [&](int64_t b, int64_t e) {
                 for (int64_t r = b; r < e; ++r) {
                   const int64_t line = r / count, i = line / outer * count + r % count;
                   std::memcpy(out + r * row, x + (line * axis + indices[i]) * row, row);
                 }
               });
}

// out[indices[i], :] += x[i, :]; negative indices are dropped. Each thread owns a range of segments and rows are added
// in ascending order, so the thread count changes nothing. Arguments: count, segments, inner, x, indices, out.
VQ_OP(SegmentSum) {
  const int64_t count = args.integer(), segments = args.integer(), inner = args.integer();
  const float* x = args.tensor<float>(count * inner);
  const int32_t* indices = args.tensor<int32_t>(count);
  float* out = args.tensor<float>(segments * inner);
  for (int64_t i = 0; i < count; ++i)
    if (indices[i] >= segments)
      fail(Error::kValue, "segment " + std::to_string(indices[i]) + " is outside " + std::to_string(segments));
  const int64_t grain = count * inner < (1 << 15) ? segments : 1;
  parallel_for(segments, grain, args.ctx.threads, [&](int64_t b, int64_t e) {
    std::fill(out + b * inner, out + e * inner, 0.0f);
    for (int64_t i = 0; i < count; ++i) {
      if (indices[i] < b || indices[i] >= e) continue;
      float* o = out + indices[i] * inner;
      const float* r = x + i * inner;
      for (int64_t k = 0; k < inner; ++k) o[k] += r[k];
    }
  });
}

// Arguments: dtype, count, depth, on, off, indices, out.
VQ_OP(OneHot) {
  const DType dtype = dtype_of(args.number());
  const int64_t count = args.integer(), depth = args.integer();
  const double on = args.number(), off = args.number();
  const int32_t* indices = args.tensor<int32_t>(count);
  auto write = [&](auto* out) {
    using T = std::remove_reference_t<decltype(out[0])>;
    std::fill(out, out + count * depth, stored<T>(off));
    for (int64_t i = 0; i < count; ++i)
      if (indices[i] >= 0 && indices[i] < depth) out[i * depth + indices[i]] = stored<T>(on);
  };
  if (dtype == DType::kFloat32) write(args.tensor<float>(count * depth));
  else if (dtype == DType::kInt32) write(args.tensor<int32_t>(count * depth));
  else write(args.tensor<uint8_t>(count * depth));
}

// out[i] = start + i·step. Arguments: dtype, count, start, step, out.
VQ_OP(Range) {
  const DType dtype = dtype_of(args.number());
  const int64_t count = args.integer();
  const double start = args.number(), step = args.number();
  auto write = [&](auto* out) {
    using T = std::remove_reference_t<decltype(out[0])>;
    for (int64_t i = 0; i < count; ++i) out[i] = stored<T>(start + i * step);
  };
  if (dtype == DType::kFloat32) write(args.tensor<float>(count));
  else write(args.tensor<int32_t>(count));
}

}  // namespace vq
