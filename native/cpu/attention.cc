// Scaled dot-product attention, forward and backward, in blocks of queries and keys: no matrix of scores is kept, the
// backward pass recomputes them from the saved logarithm of each row's sum.
// Dao et al. 2022, https://arxiv.org/abs/2205.14135, algorithms 1, 2 and 4.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "vq/convolution.h"
#include "vq/dropout.h"
#include "vq/strided.h"
#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/philox-inl.h"
#include "cpu/simd_math-inl.h"

#ifndef VQ_ATTENTION_ONCE
#define VQ_ATTENTION_ONCE
namespace vq {

constexpr int64_t kQueries = 128, kKeys = 512;  // of one block; its scores take 256 KB

struct Attention {
  int64_t batch, heads, queries, keys, dim;
  float scale;
  bool causal;
  // Added to scores: null, or floats, or bytes of which 0 forbids. Strides are 0 along broadcast axes.
  const float* bias = nullptr;
  const uint8_t* allowed = nullptr;
  int64_t mask_stride[4] = {};
  bool drops = false;
  Dropout dropout;

  bool masked() const { return bias || allowed; }
  // Keys that query i may see: causal rows end at the last key when i is the last query.
  int64_t visible(int64_t i) const {
    return causal ? std::max<int64_t>(0, std::min(keys, i + 1 + keys - queries)) : keys;
  }
  int64_t blocks_per_row() const { return (keys + 3) / 4; }  // of random words
};

// One block of scores: rows from `query` on of head `head` of all, columns from `key` on.
struct ScoreBlock {
  int64_t head, query, key, rows, columns;
  float* row_bias;  // room for one row of what is added to scores
  float* factors;   // room for one row of dropout factors
};

}  // namespace vq
#endif  // VQ_ATTENTION_ONCE

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

constexpr float kInf = std::numeric_limits<float>::infinity();

// What the mask adds to the scores of one row, or null.
HWY_INLINE const float* row_bias(const Attention& a, const ScoreBlock& s, int64_t row) {
  if (!a.masked()) return nullptr;
  if (row > 0 && a.mask_stride[2] == 0) return s.row_bias;
  const int64_t* st = a.mask_stride;
  const int64_t at = s.head / a.heads * st[0] + s.head % a.heads * st[1] + (s.query + row) * st[2] + s.key * st[3];
  if (a.bias) {
    for (int64_t j = 0; j < s.columns; ++j) s.row_bias[j] = a.bias[at + j * st[3]];
  } else {
    for (int64_t j = 0; j < s.columns; ++j) s.row_bias[j] = a.allowed[at + j * st[3]] ? 0.0f : -kInf;
  }
  return s.row_bias;
}
HWY_INLINE const float* row_factors(const Attention& a, const ScoreBlock& s, int64_t row) {
  if (!a.drops) return nullptr;
  const uint64_t line = static_cast<uint64_t>(s.head * a.queries + s.query + row) * a.blocks_per_row();
  keep_factors(a.dropout.at, a.dropout.block + line + static_cast<uint64_t>(s.key / 4), s.columns, a.dropout.threshold,
               a.dropout.keep, s.factors);
  return s.factors;
}

}  // namespace

// Turns raw products into exp(score − maximum so far). top, total: the rows' running maxima and sums; fix: what earlier
// sums and outputs are to be multiplied with.
void attention_scores(const Attention& a, const ScoreBlock& s, float* p, float* top, float* total, float* fix) {
  const int64_t step = lanes();
  const VF scale = set(a.scale);
  for (int64_t r = 0; r < s.rows; ++r, p += s.columns) {
    const int64_t n = std::max<int64_t>(0, std::min(s.columns, a.visible(s.query + r) - s.key));
    const float* bias = row_bias(a, s, r);
    VF most = set(-kInf);
    for (int64_t i = 0; i < n; i += step) {
      const int64_t k = std::min(step, n - i);
      VF v = hn::Mul(part(p + i, k), scale);
      if (bias) {
        v = hn::Add(v, part(bias + i, k));
        put_part(v, p + i, k);
      }
      most = hn::Max(most, k == step ? v : keep_first(v, k, -kInf));
    }
    const float before = top[r], now = std::max(before, largest(most));
    if (now == -kInf) {  // nothing to see yet
      fix[r] = 1;
      std::fill(p, p + s.columns, 0.0f);
      continue;
    }
    const VF m = set(now);
    VF sums = zero();
    for (int64_t i = 0; i < n; i += step) {
      const int64_t k = std::min(step, n - i);
      VF v = part(p + i, k);
      if (!bias) v = hn::Mul(v, scale);
      v = exp_negative(hn::Sub(v, m));
      sums = hn::Add(sums, k == step ? v : keep_first(v, k));
      put_part(v, p + i, k);
    }
    std::fill(p + n, p + s.columns, 0.0f);
    fix[r] = std::exp(before - now);
    total[r] = total[r] * fix[r] + sum(sums);
    top[r] = now;
    if (const float* factors = row_factors(a, s, r))
      for (int64_t i = 0; i < n; i += step) {
        const int64_t k = std::min(step, n - i);
        put_part(hn::Mul(part(p + i, k), part(factors + i, k)), p + i, k);
      }
  }
}

void attention_scale_rows(const float* factor, int64_t rows, int64_t dim, float* out) {
  const int64_t step = lanes();
  for (int64_t r = 0; r < rows; ++r, out += dim) {
    if (factor[r] == 1) continue;
    const VF f = set(factor[r]);
    for (int64_t i = 0; i < dim; i += step) {
      const int64_t k = std::min(step, dim - i);
      put_part(hn::Mul(part(out + i, k), f), out + i, k);
    }
  }
}

// dot[r] = Σ a·b of each row.
void attention_dots(const float* a, const float* b, int64_t rows, int64_t dim, float* dot) {
  const int64_t step = lanes();
  for (int64_t r = 0; r < rows; ++r, a += dim, b += dim) {
    VF s = zero();
    for (int64_t i = 0; i < dim; i += step) {
      const int64_t k = std::min(step, dim - i);
      s = hn::MulAdd(part(a + i, k), part(b + i, k), s);
    }
    dot[r] = sum(s);
  }
}

// p: raw products become the weights that multiply the values. dp: the weights' gradient becomes that of the products.
void attention_gradient(const Attention& a, const ScoreBlock& s, const float* lse, const float* dot, float* p, float* dp) {
  const int64_t step = lanes();
  const VF scale = set(a.scale);
  for (int64_t r = 0; r < s.rows; ++r, p += s.columns, dp += s.columns) {
    const int64_t n = std::max<int64_t>(0, std::min(s.columns, a.visible(s.query + r) - s.key));
    const float *bias = row_bias(a, s, r), *factors = row_factors(a, s, r);
    const VF l = set(lse[r]), d = set(dot[r]);
    for (int64_t i = 0; i < n; i += step) {
      const int64_t k = std::min(step, n - i);
      VF v = hn::Mul(part(p + i, k), scale);
      if (bias) v = hn::Add(v, part(bias + i, k));
      const VF w = exp_negative(hn::Sub(v, l));
      VF g = part(dp + i, k), kept = w;
      if (factors) {
        const VF f = part(factors + i, k);
        g = hn::Mul(g, f);
        kept = hn::Mul(w, f);
      }
      put_part(kept, p + i, k);
      put_part(hn::Mul(hn::Mul(w, scale), hn::Sub(g, d)), dp + i, k);
    }
    std::fill(p + n, p + s.columns, 0.0f);
    std::fill(dp + n, dp + s.columns, 0.0f);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(attention_scores);
HWY_EXPORT(attention_scale_rows);
HWY_EXPORT(attention_dots);
HWY_EXPORT(attention_gradient);
namespace {

// batch, heads, queries, keys, dim, scale, causal, mask kind (0 none, 1 bytes, 2 floats), its shape (rank 4, each size 1 or
// full; rank 0 without one), the mask or −1, dropout's seven.
Attention attention_arguments(Args& args) {
  Attention a;
  for (int64_t* field : {&a.batch, &a.heads, &a.queries, &a.keys, &a.dim}) *field = args.integer();
  a.scale = args.real();
  a.causal = args.flag();
  const int64_t kind = args.integer();
  const Shape shape = args.shape();
  if (kind == 0) {
    args.optional<float>(0);
  } else {
    const int64_t full[4] = {a.batch, a.heads, a.queries, a.keys};
    if (shape.rank != 4) fail(Error::kShape, "a mask of rank 4 was expected");
    const auto strides = strides_of(shape);
    for (int i = 0; i < 4; ++i) {
      if (shape.dim[i] != 1 && shape.dim[i] != full[i]) fail(Error::kShape, "the mask does not broadcast");
      a.mask_stride[i] = shape.dim[i] == 1 ? 0 : strides[i];
    }
    if (kind == 1) a.allowed = args.tensor<uint8_t>(shape.size());
    else a.bias = args.tensor<float>(shape.size());
  }
  a.dropout = dropout_arguments(args);
  a.drops = a.dropout.threshold > 0;
  return a;
}

// Working memory of one thread.
struct Room {
  float *scores, *gradients, *bias, *factors, *top, *total, *fix;
  static int64_t floats() { return 2 * kQueries * kKeys + 2 * kKeys + 3 * kQueries; }
  explicit Room(float* p) {
    scores = p;
    gradients = scores + kQueries * kKeys;
    bias = gradients + kQueries * kKeys;
    factors = bias + kKeys;
    top = factors + kKeys;
    total = top + kQueries;
    fix = total + kQueries;
  }
};

// Runs task(0 … tasks − 1, room), each on one thread; results never depend on which.
template <class Task>
void run_tasks(Context& ctx, int64_t tasks, double work, const Task& task) {
  const int64_t worth = std::max<int64_t>(1, static_cast<int64_t>(std::min(work / (1 << 18), 1024.0)));
  const int64_t threads = std::min<int64_t>({ctx.threads, tasks, worth});
  if (threads < 1) return;
  float* room = static_cast<float*>(ctx.scratch(threads * Room::floats() * sizeof(float)));
  std::atomic<int64_t> next{0};
  parallel_for(threads, 1, static_cast<int>(threads), [&](int64_t b, int64_t) {
    Room mine(room + b * Room::floats());
    for (int64_t i; (i = next.fetch_add(1)) < tasks;) task(i, mine);
  });
}

}  // namespace

// Arguments: the attention, q, k, v, out, lse (one per query).
VQ_OP(Attention) {
  const Attention a = attention_arguments(args);
  const int64_t heads = a.batch * a.heads, d = a.dim;
  const float* q = args.tensor<float>(heads * a.queries * d);
  const float *k = args.tensor<float>(heads * a.keys * d), *v = args.tensor<float>(heads * a.keys * d);
  float* out = args.tensor<float>(heads * a.queries * d);
  float* lse = args.tensor<float>(heads * a.queries);
  const int64_t blocks = (a.queries + kQueries - 1) / kQueries;
  const double work = 1.0 * heads * a.queries * a.keys * std::max<int64_t>(1, d);
  run_tasks(args.ctx, heads * blocks, work, [&](int64_t task, Room& room) {
    // Causal blocks with the most keys first, so that the threads end together.
    const int64_t head = task % heads, block = blocks - 1 - task / heads;
    const int64_t first = block * kQueries, rows = std::min(kQueries, a.queries - first);
    float *o = out + (head * a.queries + first) * d, *l = lse + head * a.queries + first;
    std::fill(room.top, room.top + rows, -std::numeric_limits<float>::infinity());
    std::fill(room.total, room.total + rows, 0.0f);
    std::fill(o, o + rows * d, 0.0f);
    const int64_t end = a.visible(first + rows - 1);
    for (int64_t key = 0; key < end && d > 0; key += kKeys) {
      const int64_t columns = std::min(kKeys, end - key);
      const ScoreBlock s{head, first, key, rows, columns, room.bias, room.factors};
      matrix_product_alone(false, true, rows, columns, d, q + (head * a.queries + first) * d, k + (head * a.keys + key) * d,
                           0.0f, room.scores);
      HWY_DYNAMIC_DISPATCH(attention_scores)(a, s, room.scores, room.top, room.total, room.fix);
      if (key > 0) HWY_DYNAMIC_DISPATCH(attention_scale_rows)(room.fix, rows, d, o);
      matrix_product_alone(false, false, rows, d, columns, room.scores, v + (head * a.keys + key) * d, key > 0 ? 1.0f : 0.0f, o);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const bool none = room.total[r] == 0;  // a row that sees no key: its output is 0, and so are its weights later
      l[r] = none ? std::numeric_limits<float>::infinity() : room.top[r] + std::log(room.total[r]);
      room.fix[r] = none ? 1.0f : 1 / room.total[r];
    }
    HWY_DYNAMIC_DISPATCH(attention_scale_rows)(room.fix, rows, d, o);
  });
}

// Arguments: the attention, q, k, v, out, lse, gradient of out, dq, dk, dv.
VQ_OP(AttentionGrad) {
  const Attention a = attention_arguments(args);
  const int64_t heads = a.batch * a.heads, d = a.dim;
  const float* q = args.tensor<float>(heads * a.queries * d);
  const float *k = args.tensor<float>(heads * a.keys * d), *v = args.tensor<float>(heads * a.keys * d);
  const float* out = args.tensor<float>(heads * a.queries * d);
  const float* lse = args.tensor<float>(heads * a.queries);
  const float* dout = args.tensor<float>(heads * a.queries * d);
  float* dq = args.tensor<float>(heads * a.queries * d);
  float *dk = args.tensor<float>(heads * a.keys * d), *dv = args.tensor<float>(heads * a.keys * d);
  const double work = 1.0 * heads * a.queries * a.keys * std::max<int64_t>(1, d);
  run_tasks(args.ctx, heads, work, [&](int64_t head, Room& room) {
    const int64_t kv = head * a.keys * d;
    std::fill(dk + kv, dk + kv + a.keys * d, 0.0f);
    std::fill(dv + kv, dv + kv + a.keys * d, 0.0f);
    for (int64_t first = 0; first < a.queries; first += kQueries) {
      const int64_t rows = std::min(kQueries, a.queries - first), at = (head * a.queries + first) * d;
      const int64_t end = a.visible(first + rows - 1);
      if (end == 0 || d == 0) std::fill(dq + at, dq + at + rows * d, 0.0f);
      HWY_DYNAMIC_DISPATCH(attention_dots)(out + at, dout + at, rows, d, room.fix);
      for (int64_t key = 0; key < end && d > 0; key += kKeys) {
        const int64_t columns = std::min(kKeys, end - key), to = kv + key * d;
        const ScoreBlock s{head, first, key, rows, columns, room.bias, room.factors};
        matrix_product_alone(false, true, rows, columns, d, q + at, k + to, 0.0f, room.scores);
        matrix_product_alone(false, true, rows, columns, d, dout + at, v + to, 0.0f, room.gradients);
        HWY_DYNAMIC_DISPATCH(attention_gradient)
        (a, s, lse + head * a.queries + first, room.fix, room.scores, room.gradients);
        matrix_product_alone(true, false, columns, d, rows, room.scores, dout + at, 1.0f, dv + to);
        matrix_product_alone(true, false, columns, d, rows, room.gradients, q + at, 1.0f, dk + to);
        matrix_product_alone(false, false, rows, d, columns, room.gradients, k + to, key > 0 ? 1.0f : 0.0f, dq + at);
      }
    }
  });
}

}  // namespace vq
#endif  // HWY_ONCE
