// Finite scalar and lookup-free quantization on typed arrays. Every function takes `async` last, as in quantize.cc.
#include "arrays.h"
#include "numbers.h"
#include "task.h"
#include "vq/codes.h"

namespace vq_node {
namespace {

int64_t rows(int64_t length, int64_t dim) {
  if (length % dim != 0) vq::fail(vq::Error::kShape, "vectors has a length that dim does not divide");
  return length / dim;
}

Napi::Value start(const Info& info, std::unique_ptr<Task> task, bool async) {
  return async ? run_async(info.Env(), std::move(task), Napi::Value()) : run_now(info.Env(), *task);
}

// Codes, values or both; with `bound_only` what is rounded, as values.
class EncodeTask : public Task {
 public:
  Input<float> x;
  std::unique_ptr<vq::FsqLevels> levels;  // null for lookup-free
  int64_t n, dim;
  float scale = 1;
  bool bound_only = false, both = false;
  Output<float> quantized;
  Output<int32_t> indices;
  void run(const vq::CallOptions& o) override {
    float* q = both || bound_only ? quantized.data() : nullptr;
    if (bound_only) vq::fsq_bound(x.data(), n, *levels, q, o);
    else if (levels) vq::fsq_encode(x.data(), n, *levels, q, indices.data(), o);
    else vq::lfq_encode(x.data(), n, dim, scale, q, indices.data(), o);
  }
  Napi::Value result(Napi::Env env) override {
    if (bound_only) return quantized.take(env);
    if (!both) return indices.take(env);
    Napi::Object r = Napi::Object::New(env);
    r.Set("indices", indices.take(env));
    r.Set("quantized", quantized.take(env));
    return r;
  }
  void make(Napi::Env env, bool async) {
    n = rows(x.size(), dim);
    if (both || bound_only) quantized.make(env, n * dim, async);
    if (!bound_only) indices.make(env, n, async);
  }
};

class DecodeTask : public Task {
 public:
  Input<int32_t> indices;
  std::unique_ptr<vq::FsqLevels> levels;
  int64_t dim;
  float scale = 1;
  Output<float> out;
  void run(const vq::CallOptions& o) override {
    if (levels) vq::fsq_decode(indices.data(), indices.size(), *levels, out.data(), o);
    else vq::lfq_decode(indices.data(), indices.size(), dim, scale, out.data(), o);
  }
  Napi::Value result(Napi::Env env) override { return out.take(env); }
};

// fsqEncode(vectors, levels, bound, what, threads, async); what: 0 codes, 1 { indices, quantized }, 2 the bounded values
Napi::Value fsq_encode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<EncodeTask>();
    const bool async = info[5].ToBoolean();
    t->levels = std::make_unique<vq::FsqLevels>(levels_of(info[1], info[2]));
    t->dim = t->levels->dim();
    const int64_t what = whole(info[3], 0, 2, "what");
    t->both = what == 1;
    t->bound_only = what == 2;
    t->threads = static_cast<int>(whole(info[4], 1, 1024, "threads"));
    t->x.set(info[0], async);
    t->make(info.Env(), async);
    return start(info, std::move(t), async);
  });
}

// fsqDecode(indices, levels, bound, threads, async)
Napi::Value fsq_decode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<DecodeTask>();
    const bool async = info[4].ToBoolean();
    t->levels = std::make_unique<vq::FsqLevels>(levels_of(info[1], info[2]));
    t->dim = t->levels->dim();
    t->threads = static_cast<int>(whole(info[3], 1, 1024, "threads"));
    t->indices.set(info[0], async);
    t->out.make(info.Env(), t->indices.size() * t->dim, async);
    return start(info, std::move(t), async);
  });
}

// lfqEncode(vectors, dim, scale, what, threads, async); what: 0 codes, 1 { indices, quantized }
Napi::Value lfq_encode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<EncodeTask>();
    const bool async = info[5].ToBoolean();
    t->dim = whole(info[1], 1, 31, "dim");
    t->scale = real(info[2], "scale");
    t->both = whole(info[3], 0, 1, "what") == 1;
    t->threads = static_cast<int>(whole(info[4], 1, 1024, "threads"));
    t->x.set(info[0], async);
    t->make(info.Env(), async);
    return start(info, std::move(t), async);
  });
}

// lfqDecode(indices, dim, scale, threads, async)
Napi::Value lfq_decode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<DecodeTask>();
    const bool async = info[4].ToBoolean();
    t->dim = whole(info[1], 1, 31, "dim");
    t->scale = real(info[2], "scale");
    t->threads = static_cast<int>(whole(info[3], 1, 1024, "threads"));
    t->indices.set(info[0], async);
    t->out.make(info.Env(), t->indices.size() * t->dim, async);
    return start(info, std::move(t), async);
  });
}

class FsqGradientTask : public Task {
 public:
  Input<float> z, g;
  std::unique_ptr<vq::FsqLevels> levels;
  Output<float> out;
  void run(const vq::CallOptions& o) override {
    vq::fsq_gradient(z.data(), g.data(), z.size() / levels->dim(), *levels, out.data(), o);
  }
  Napi::Value result(Napi::Env env) override { return out.take(env); }
};

// fsqGradient(z, g, levels, bound, threads)
Napi::Value fsq_gradient(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<FsqGradientTask>();
    t->levels = std::make_unique<vq::FsqLevels>(levels_of(info[2], info[3]));
    t->threads = static_cast<int>(whole(info[4], 1, 1024, "threads"));
    t->z.set(info[0], false);
    t->g.set(info[1], false);
    rows(t->z.size(), t->levels->dim());
    if (t->g.size() != t->z.size()) vq::fail(vq::Error::kShape, "z and its gradient differ in length");
    t->out.make(info.Env(), t->z.size(), false);
    return start(info, std::move(t), false);
  });
}

class EntropyTask : public Task {
 public:
  Input<float> z;
  int64_t n, bits, group;
  float kappa, entropy, diversity;
  Output<float> table;
  void run(const vq::CallOptions& o) override {
    vq::expect_finite_rows(z.data(), n, bits, o);
    vq::lfq_entropy(z.data(), n, bits, group, kappa, &entropy, &diversity, table.data(), o);
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("perSample", static_cast<double>(entropy));
    r.Set("ofMean", static_cast<double>(diversity));
    r.Set("table", table.take(env));
    return r;
  }
};

// lfqEntropy(vectors, dim, group, kappa, threads): { perSample, ofMean, table }
Napi::Value lfq_entropy(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<EntropyTask>();
    t->z.set(info[0], false);
    t->bits = whole(info[1], 1, 4096, "dim");
    t->group = whole(info[2], 1, 26, "group");
    t->kappa = real(info[3], "kappa");
    t->threads = static_cast<int>(whole(info[4], 1, 1024, "threads"));
    t->n = rows(t->z.size(), t->bits);
    if (t->n < 1) vq::fail(vq::Error::kShape, "there are no rows");
    t->table.make(info.Env(), vq::lfq_table_size(t->bits, t->group), false);
    return start(info, std::move(t), false);
  });
}

class EntropyGradientTask : public Task {
 public:
  Input<float> z, table;
  int64_t n, bits, group;
  float kappa, by_entropy, by_diversity;
  Output<float> out;
  void run(const vq::CallOptions& o) override {
    vq::lfq_entropy_gradient(z.data(), n, bits, group, kappa, by_entropy, by_diversity, table.data(), out.data(), o);
  }
  Napi::Value result(Napi::Env env) override { return out.take(env); }
};

// lfqEntropyGradient(vectors, table, dim, group, kappa, byPerSample, byOfMean, threads)
Napi::Value lfq_entropy_gradient(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<EntropyGradientTask>();
    t->z.set(info[0], false);
    t->table.set(info[1], false);
    t->bits = whole(info[2], 1, 4096, "dim");
    t->group = whole(info[3], 1, 26, "group");
    t->kappa = real(info[4], "kappa");
    t->by_entropy = real(info[5], "byPerSample");
    t->by_diversity = real(info[6], "byOfMean");
    t->threads = static_cast<int>(whole(info[7], 1, 1024, "threads"));
    t->n = rows(t->z.size(), t->bits);
    if (t->n < 1) vq::fail(vq::Error::kShape, "there are no rows");
    if (t->table.size() != vq::lfq_table_size(t->bits, t->group)) vq::fail(vq::Error::kShape, "table has another length");
    t->out.make(info.Env(), t->z.size(), false);
    return start(info, std::move(t), false);
  });
}

}  // namespace

void register_codes(Napi::Env env, Napi::Object exports) {
  exports.Set("fsqEncode", Napi::Function::New(env, fsq_encode, "fsqEncode"));
  exports.Set("fsqDecode", Napi::Function::New(env, fsq_decode, "fsqDecode"));
  exports.Set("lfqEncode", Napi::Function::New(env, lfq_encode, "lfqEncode"));
  exports.Set("fsqGradient", Napi::Function::New(env, fsq_gradient, "fsqGradient"));
  exports.Set("lfqEntropy", Napi::Function::New(env, lfq_entropy, "lfqEntropy"));
  exports.Set("lfqEntropyGradient", Napi::Function::New(env, lfq_entropy_gradient, "lfqEntropyGradient"));
  exports.Set("lfqDecode", Napi::Function::New(env, lfq_decode, "lfqDecode"));
}

}  // namespace vq_node
