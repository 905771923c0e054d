// Generation token by token: a pre-norm transformer for the tokens behind those in its cache, a layer a call.
// x += out(attention(qkv(norm(x)))), then x += narrow(activation(widen(norm(x)))).
// Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3; keys and values are kept per layer.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/activation.h"
#include "cpu/layer_norm.h"
#include "cpu/row_product.h"
#include "vq/op.h"
#include "vq/threads.h"
#include "vq/window.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/decoder.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

#ifndef VQ_DECODER_ONCE
#define VQ_DECODER_ONCE
namespace vq {

// Keys lie in blocks of 16, transposed within: [block, dim, 16]. So scores are vectors of neighbours, of a whole block at most, and
// what is in use lies together.
constexpr int64_t kKeyBlock = 16;
inline int64_t key_place(int64_t key, int64_t dim) { return key / kKeyBlock * kKeyBlock * dim + key % kKeyBlock; }

}  // namespace vq
#endif  // VQ_DECODER_ONCE

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

// q·k of kVectors vectors of neighbouring keys from key j on; even and odd places of a key are summed apart, then together.
template <int kVectors>
HWY_INLINE void scores(const float* q, const float* keys, int64_t j, int64_t dim, VF* out) {
  const int64_t step = lanes();
  VF even[kVectors], odd[kVectors];
  const float* from[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    even[v] = odd[v] = zero();
    from[v] = keys + key_place(j + v * step, dim);
  }
  int64_t d = 0;
  for (; d + 2 <= dim; d += 2) {
    const VF a = set(q[d]), b = set(q[d + 1]);
    for (int v = 0; v < kVectors; ++v) {
      even[v] = hn::MulAdd(a, load(from[v] + d * kKeyBlock), even[v]);
      odd[v] = hn::MulAdd(b, load(from[v] + (d + 1) * kKeyBlock), odd[v]);
    }
  }
  if (d < dim)
    for (int v = 0; v < kVectors; ++v) even[v] = hn::MulAdd(set(q[d]), load(from[v] + d * kKeyBlock), even[v]);
  for (int v = 0; v < kVectors; ++v) out[v] = hn::Add(even[v], odd[v]);
}

// kVectors vectors of Σ p·v over `seen` values, times `share`; with kWhole false the one vector has `count` places.
template <int kVectors, bool kWhole = true>
HWY_INLINE void mix(const float* p, const float* values, int64_t seen, int64_t dim, VF share, int64_t count, float* out) {
  const int64_t step = lanes();
  const auto at = [&](const float* from, int v) HWY_ATTR { return kWhole ? load(from + v * step) : load_part(from, count); };
  VF s[4][kVectors];
  for (int i = 0; i < 4; ++i)
    for (int v = 0; v < kVectors; ++v) s[i][v] = zero();
  int64_t j = 0;
  for (; j + 4 <= seen; j += 4)
    for (int i = 0; i < 4; ++i) {
      const VF x = set(p[j + i]);
      for (int v = 0; v < kVectors; ++v) s[i][v] = hn::MulAdd(x, at(values + (j + i) * dim, v), s[i][v]);
    }
  for (; j < seen; ++j)
    for (int v = 0; v < kVectors; ++v) s[0][v] = hn::MulAdd(set(p[j]), at(values + j * dim, v), s[0][v]);
  for (int v = 0; v < kVectors; ++v) {
    const VF y = hn::Mul(hn::Add(hn::Add(s[0][v], s[1][v]), hn::Add(s[2][v], s[3][v])), share);
    if (kWhole) store(y, out + v * step);
    else store_part(y, out, count);
  }
}

}  // namespace

// softmax(scale·q·kᵀ)·v of one query over the first `seen` keys. p: room for `seen` floats and a block.
void attend(const float* q, const float* keys, const float* values, int64_t seen, int64_t dim, float scale, float* p, float* out) {
  const int64_t step = lanes();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const VF factor = set(scale);
  VF most = set(-kInf);
  for (int64_t j = 0; j < seen;) {
    VF found[4];
    const int64_t n = std::min<int64_t>(4, (seen - j + step - 1) / step);
    if (n == 4) scores<4>(q, keys, j, dim, found);
    else if (n == 3) scores<3>(q, keys, j, dim, found);
    else if (n == 2) scores<2>(q, keys, j, dim, found);
    else scores<1>(q, keys, j, dim, found);
    for (int64_t v = 0; v < n; ++v, j += step) {
      const VF s = hn::Mul(found[v], factor);
      most = hn::Max(most, seen - j >= step ? s : keep_first(s, seen - j, -kInf));
      store(s, p + j);
    }
  }
  const VF top = set(largest(most));
  VF sums = zero();
  for (int64_t j = 0; j < seen; j += step) {
    const VF e = exp_negative(hn::Sub(load(p + j), top));
    sums = hn::Add(sums, seen - j >= step ? e : keep_first(e, seen - j));
    store(e, p + j);
  }
  const VF share = set(1 / sum(sums));
  int64_t d = 0;
  for (; d + 2 * step <= dim; d += 2 * step) mix<2>(p, values + d, seen, dim, share, step, out + d);
  for (; d + step <= dim; d += step) mix<1>(p, values + d, seen, dim, share, step, out + d);
  if (d < dim) mix<1, false>(p, values + d, seen, dim, share, dim - d, out + d);
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(attend);
namespace {

// Asks for the first of n floats that follow, as many as the nearest cache has room for.
void fetch(const float* p, int64_t n) {
  for (int64_t i = 0; i < std::min<int64_t>(n, 2048); i += 16) hwy::Prefetch(p + i);
}

constexpr int64_t kTile = 64;  // rows that one thread takes through a layer together

struct Norm {
  double epsilon;
  const float *gamma, *beta;
};
Norm norm_arguments(Args& args, int64_t width) {
  const double epsilon = args.number();
  const float* gamma = args.optional<float>(width);
  return {epsilon, gamma, args.optional<float>(width)};
}

struct Product {
  int64_t in, out;
  const float *weight, *bias;
  void run(const float* x, int64_t rows, bool add, float* y, int threads) const {
    row_product(x, rows, in, weight, out, bias, add, y, threads);
  }
};
Product product_arguments(Args& args, int64_t in, int64_t out) {
  const float* weight = args.tensor<float>(checked_product({in, out}));
  return {in, out, weight, args.optional<float>(out)};
}

// Rows in as many parts as there are threads with enough to do: body(part, first row, end). Where there is one part, its products
// may use all threads.
template <class Body>
void over_parts(Context& ctx, int64_t rows, int64_t work_per_row, const Body& body) {
  const int64_t least = std::max<int64_t>(2, (1 << 20) / std::max<int64_t>(1, work_per_row));
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(ctx.threads, rows / least));
  if (parts == 1) return body(0, 0, rows, ctx.threads);
  parallel_for(parts, 1, ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) body(i, rows * i / parts, rows * (i + 1) / parts, 1);
  });
}

}  // namespace

// x = table[id] + places[held …] of each token. Answers −1, or the first position whose id is no row of the table.
// Arguments: batch, tokens, width, rows of the table, places, held, ids, table, places, x.
VQ_OP(DecoderStart) {
  const int64_t batch = args.integer(), tokens = args.integer(), width = args.integer(), rows = args.integer();
  const int64_t places = args.integer(), held = args.integer();
  const int64_t n = checked_product({batch, tokens});
  const int32_t* ids = args.tensor<int32_t>(n);
  const float* table = args.tensor<float>(checked_product({rows, width}));
  const float* place = args.tensor<float>(checked_product({places, width}));
  float* x = args.tensor<float>(checked_product({batch, tokens, width}));
  check(tokens >= 0 && held >= 0 && held <= places && tokens <= places - held, "more tokens than there are places");
  for (int64_t i = 0; i < n; ++i)
    if (ids[i] < 0 || ids[i] >= rows) return args.answer(static_cast<double>(i));
  for (int64_t i = 0; i < n; ++i) {
    const float *a = table + ids[i] * width, *b = place + (held + i % tokens) * width;
    for (int64_t d = 0; d < width; ++d) x[i * width + d] = a[d] + b[d];
  }
  args.answer(-1);
}

// One layer in place, for `tokens` new tokens of each sequence behind `held` ones. Arguments: batch, tokens, held, capacity, width,
// heads, hidden, activation, x [batch, tokens, width], norm, qkv, out, norm, widen, narrow, keys [batch, heads, capacity/16, dim, 16],
// values [batch, heads, capacity, dim]; a norm is epsilon, gamma or -1, beta or -1, a product its weight [in, out], bias or -1.
VQ_OP(DecoderLayer) {
  const int64_t batch = args.integer(), tokens = args.integer(), held = args.integer(), capacity = args.integer();
  const int64_t width = args.integer(), heads = args.integer(), hidden = args.integer();
  const auto kind = static_cast<ActivationKind>(args.integer());
  if (kind < ActivationKind::kLinear || kind > ActivationKind::kSigmoid) fail(Error::kValue, "no such activation");
  check(capacity >= 0 && capacity % kKeyBlock == 0, "keys come in blocks of 16");
  check(heads >= 1 && width >= 1 && width % heads == 0 && hidden >= 1, "heads do not divide the width");
  check(held >= 0 && tokens >= 0 && held <= capacity && tokens <= capacity - held, "more tokens than the cache has room for");
  const int64_t rows = checked_product({batch, tokens}), dim = width / heads;
  checked_product({batch, tokens, std::max(3 * width, hidden)});
  float* x = args.tensor<float>(rows * width);
  const Norm norm1 = norm_arguments(args, width);
  const Product qkv = product_arguments(args, width, 3 * width), joined = product_arguments(args, width, width);
  const Norm norm2 = norm_arguments(args, width);
  const Product widen = product_arguments(args, width, hidden), narrow = product_arguments(args, hidden, width);
  const int64_t kept = checked_product({batch, capacity, width});
  float *keys = args.tensor<float>(kept), *values = args.tensor<float>(kept);
  if (rows == 0) return;

  // One thread's room: a tile's normalised rows, hidden rows, and what normalisation and attention need.
  const int64_t tile = std::min(kTile, rows), room = tile * (width + std::max(width, hidden) + 2) + capacity + kKeyBlock;
  const int64_t most = std::max(1, args.ctx.threads);
  float* projected = static_cast<float*>(args.ctx.scratch((rows * 3 * width + most * room) * sizeof(float)));
  float* rooms = projected + rows * 3 * width;
  const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
  const int64_t work = 4 * width * width + 2 * width * hidden;

  const auto project = [&](int64_t part, int64_t begin, int64_t end, int threads) {
    float *normal = rooms + part * room, *mean = normal + tile * width, *inverse = mean + tile;
    for (int64_t first = begin; first < end; first += tile) {
      const int64_t n = std::min(tile, end - first);
      layer_norm_alone(x + first * width, norm1.gamma, norm1.beta, n, width, norm1.epsilon, normal, mean, inverse);
      qkv.run(normal, n, false, projected + first * 3 * width, threads);
      for (int64_t r = first; r < first + n; ++r) {
        const float *k = projected + r * 3 * width + width, *v = k + width;
        const int64_t sequence = r / tokens, at = held + r % tokens;
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t head = (sequence * heads + h) * capacity * dim;
          float* key = keys + head + key_place(at, dim);
          for (int64_t d = 0; d < dim; ++d) key[d * kKeyBlock] = k[h * dim + d];
          std::memcpy(values + head + at * dim, v + h * dim, dim * sizeof(float));
        }
      }
    }
  };
  const auto finish = [&](int64_t part, int64_t begin, int64_t end, int threads) {
    float *normal = rooms + part * room, *between = normal + tile * width;
    float *mean = between + tile * std::max(width, hidden), *inverse = mean + tile, *scores = inverse + tile;
    for (int64_t first = begin; first < end; first += tile) {
      const int64_t n = std::min(tile, end - first);
      for (int64_t r = first; r < first + n; ++r)
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t from = (r / tokens * heads + h) * capacity * dim, seen = held + r % tokens + 1;
          // The next head's come from far while this one's are worked on.
          if (r + 1 < first + n || h + 1 < heads) {
            const int64_t next = ((h + 1 < heads ? r : r + 1) / tokens * heads + (h + 1 < heads ? h + 1 : 0)) * capacity * dim;
            fetch(keys + next, (seen + kKeyBlock - 1) / kKeyBlock * kKeyBlock * dim);
            fetch(values + next, seen * dim);
          }
          HWY_DYNAMIC_DISPATCH(attend)
          (projected + r * 3 * width + h * dim, keys + from, values + from, seen, dim, scale, scores,
           between + (r - first) * width + h * dim);
        }
      joined.run(between, n, true, x + first * width, threads);
      layer_norm_alone(x + first * width, norm2.gamma, norm2.beta, n, width, norm2.epsilon, normal, mean, inverse);
      widen.run(normal, n, false, between, threads);
      apply_bias_and_activation(kind, nullptr, n, hidden, between, between);
      narrow.run(between, n, true, x + first * width, threads);
    }
  };
  // Rows of one token each need no other's keys.
  if (tokens == 1) {
    over_parts(args.ctx, rows, work, [&](int64_t part, int64_t begin, int64_t end, int threads) {
      project(part, begin, end, threads);
      finish(part, begin, end, threads);
    });
  } else {
    over_parts(args.ctx, rows, work, project);
    over_parts(args.ctx, rows, work, finish);
  }
}

// The last normalisation and the head, for every token or the last of each sequence. Arguments: batch, tokens, last alone, width,
// outputs, x, norm, head, y [batch, tokens or 1, outputs].
VQ_OP(DecoderEnd) {
  const int64_t batch = args.integer(), tokens = args.integer();
  const bool last = args.flag();
  const int64_t width = args.integer(), outputs = args.integer();
  check(width >= 1 && batch >= 0 && tokens >= 0, "sizes are out of range");
  checked_product({batch, tokens});
  const float* x = args.tensor<float>(checked_product({batch, tokens, width}));
  const Norm norm = norm_arguments(args, width);
  const Product head = product_arguments(args, width, outputs);
  const int64_t rows = last && tokens > 0 ? batch : batch * tokens;
  float* y = args.tensor<float>(checked_product({rows, outputs}));
  if (rows == 0) return;
  const int64_t tile = std::min(kTile, rows), room = tile * (width + 2);
  const int64_t most = std::max(1, args.ctx.threads);
  float* rooms = static_cast<float*>(args.ctx.scratch(most * room * sizeof(float)));
  over_parts(args.ctx, rows, width * outputs, [&](int64_t part, int64_t begin, int64_t end, int threads) {
    float *normal = rooms + part * room, *mean = normal + tile * width, *inverse = mean + tile;
    for (int64_t first = begin; first < end; first += tile) {
      const int64_t n = std::min(tile, end - first);
      for (int64_t r = 0; r < n; ++r) {
        const int64_t from = last ? (first + r) * tokens + tokens - 1 : first + r;
        layer_norm_alone(x + from * width, norm.gamma, norm.beta, 1, width, norm.epsilon, normal + r * width, mean, inverse);
      }
      head.run(normal, n, false, y + first * outputs, threads);
    }
  });
}

}  // namespace vq
#endif  // HWY_ONCE
