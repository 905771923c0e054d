// Finite scalar and lookup-free quantization on typed arrays. Every function takes `async` last, as in quantize.cc.
#include <cmath>

#include "arrays.h"
#include "task.h"
#include "vq/codes.h"

namespace vq_node {
namespace {

using Info = Napi::CallbackInfo;

int64_t whole(const Napi::Value& v, int64_t least, int64_t most, const char* name) {
  const double d = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : NAN;
  if (!(d >= static_cast<double>(least) && d <= static_cast<double>(most)) || d != std::floor(d))
    vq::fail(vq::Error::kConfig, std::string(name) + " is out of range");
  return static_cast<int64_t>(d);
}
float scale_of(const Napi::Value& v) {
  const double d = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : NAN;
  if (!std::isfinite(d)) vq::fail(vq::Error::kConfig, "scale is not a number");
  return static_cast<float>(d);
}
vq::FsqLevels levels_of(const Napi::Value& list, const Napi::Value& bound) {
  if (!list.IsArray()) vq::fail(vq::Error::kConfig, "levels is not an array");
  const Napi::Array all = list.As<Napi::Array>();
  if (all.Length() > 31) vq::fail(vq::Error::kConfig, "there are more than 31 levels");
  std::vector<int64_t> levels;
  for (uint32_t i = 0; i < all.Length(); ++i) levels.push_back(whole(all.Get(i), 2, vq::gpu::kFsqMostLevels, "a level"));
  return vq::FsqLevels(levels, static_cast<vq::gpu::FsqBound>(whole(bound, 0, 1, "bound")));
}
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
    t->scale = scale_of(info[2]);
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
    t->scale = scale_of(info[2]);
    t->threads = static_cast<int>(whole(info[3], 1, 1024, "threads"));
    t->indices.set(info[0], async);
    t->out.make(info.Env(), t->indices.size() * t->dim, async);
    return start(info, std::move(t), async);
  });
}

}  // namespace

void register_codes(Napi::Env env, Napi::Object exports) {
  exports.Set("fsqEncode", Napi::Function::New(env, fsq_encode, "fsqEncode"));
  exports.Set("fsqDecode", Napi::Function::New(env, fsq_decode, "fsqDecode"));
  exports.Set("lfqEncode", Napi::Function::New(env, lfq_encode, "lfqEncode"));
  exports.Set("lfqDecode", Napi::Function::New(env, lfq_decode, "lfqDecode"));
}

}  // namespace vq_node
