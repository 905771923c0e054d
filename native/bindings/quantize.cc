// Quantization on typed arrays. Every function takes `async` last: false returns the result, true { promise, abort }.
#include <cmath>

#include "arrays.h"
#include "task.h"
#include "vq/isa.h"

namespace vq_node {
namespace {

using Info = Napi::CallbackInfo;

int64_t integer(const Napi::Value& v, int64_t least, const char* name) {
  if (!v.IsNumber()) vq::fail(vq::Error::kConfig, std::string(name) + " is not a number");
  const double d = v.As<Napi::Number>().DoubleValue();
  if (!(d >= static_cast<double>(least) && d <= 9007199254740991.0) || d != std::floor(d))
    vq::fail(vq::Error::kConfig, std::string(name) + " is out of range");
  return static_cast<int64_t>(d);
}
double number(const Napi::Value& v, const char* name) {
  if (!v.IsNumber()) vq::fail(vq::Error::kConfig, std::string(name) + " is not a number");
  return v.As<Napi::Number>().DoubleValue();
}
int64_t rows_of(int64_t length, int64_t dim, const char* name) {
  if (length % dim != 0) vq::fail(vq::Error::kShape, std::string(name) + " has a length that dim does not divide");
  return length / dim;
}

Napi::Value start(const Info& info, std::unique_ptr<Task> task, bool async, const Napi::Value& progress) {
  return async ? run_async(info.Env(), std::move(task), progress) : run_now(info.Env(), *task);
}

class NearestTask : public Task {
 public:
  Input<float> x, codes;
  int64_t n, k, dim;
  vq::Metric metric;
  Output<int32_t> indices;
  Output<float> distances;
  void run(const vq::CallOptions& o) override {
    vq::nearest(x.data(), n, dim, codes.data(), k, metric, indices.data(), distances.data(), o);
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("indices", indices.take(env));
    r.Set("distances", distances.take(env));
    return r;
  }
};

// nearest(vectors, codebook, dim, metric, threads, async)
Napi::Value nearest(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<NearestTask>();
    const bool async = info[5].ToBoolean();
    t->dim = integer(info[2], 1, "dim");
    const int64_t metric = integer(info[3], 0, "metric");
    if (metric > 2) vq::fail(vq::Error::kConfig, "metric is out of range");
    t->metric = static_cast<vq::Metric>(metric);
    t->threads = static_cast<int>(std::min<int64_t>(1024, integer(info[4], 1, "threads")));
    t->x.set(info[0], async);
    t->codes.set(info[1], async);
    t->n = rows_of(t->x.size(), t->dim, "vectors");
    t->k = rows_of(t->codes.size(), t->dim, "codebook");
    t->indices.make(info.Env(), t->n, async);
    t->distances.make(info.Env(), t->n, async);
    return start(info, std::move(t), async, Napi::Value());
  });
}

class ResidualTask : public Task {
 public:
  Input<float> x;
  std::vector<std::unique_ptr<Input<float>>> books;
  std::vector<int64_t> sizes;
  int64_t n, dim;
  int beam;
  Output<int32_t> codes;
  Output<float> quantized, errors, level_errors;
  bool each = false;
  void run(const vq::CallOptions& o) override {
    std::vector<const float*> at;
    for (const auto& b : books) at.push_back(b->data());
    vq::residual_encode(x.data(), n, dim, at, sizes, beam, codes.data(), quantized.data(), errors.data(), each ? level_errors.data() : nullptr, o);
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    if (each) r.Set("levelErrors", level_errors.take(env));
    r.Set("codes", codes.take(env));
    r.Set("quantized", quantized.take(env));
    r.Set("errors", errors.take(env));
    return r;
  }
};

// residualEncode(vectors, codebooks, dim, beam, levelErrors, threads, async)
Napi::Value residual(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<ResidualTask>();
    const bool async = info[6].ToBoolean();
    t->dim = integer(info[2], 1, "dim");
    t->each = info[4].ToBoolean();
    t->beam = static_cast<int>(std::min<int64_t>(1 << 20, integer(info[3], 1, "beam")));
    t->threads = static_cast<int>(std::min<int64_t>(1024, integer(info[5], 1, "threads")));
    t->x.set(info[0], async);
    t->n = rows_of(t->x.size(), t->dim, "vectors");
    if (!info[1].IsArray()) vq::fail(vq::Error::kConfig, "codebooks is not an array");
    const Napi::Array list = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
      t->books.push_back(std::make_unique<Input<float>>());
      t->books.back()->set(list.Get(i), async);
      t->sizes.push_back(rows_of(t->books.back()->size(), t->dim, "codebook"));
    }
    t->codes.make(info.Env(), t->n * static_cast<int64_t>(t->books.size()), async);
    t->quantized.make(info.Env(), t->n * t->dim, async);
    t->errors.make(info.Env(), t->n, async);
    if (t->each) t->level_errors.make(info.Env(), t->n * static_cast<int64_t>(t->books.size()), async);
    return start(info, std::move(t), async, Napi::Value());
  });
}

class OrderedLinearTask : public Task {
 public:
  Input<float> x, weight, bias;
  int64_t n, in, out;
  Output<float> y;
  void run(const vq::CallOptions& o) override {
    vq::ordered_linear(x.data(), n, in, weight.data(), out, bias.size() ? bias.data() : nullptr, y.data(), o);
  }
  Napi::Value result(Napi::Env env) override { return y.take(env); }
};

// orderedLinear(x, weight, bias or null, inputs, outputs, threads, async)
Napi::Value ordered_linear(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<OrderedLinearTask>();
    const bool async = info[6].ToBoolean();
    t->in = integer(info[3], 1, "inputs");
    t->out = integer(info[4], 1, "outputs");
    t->threads = static_cast<int>(std::min<int64_t>(1024, integer(info[5], 1, "threads")));
    t->x.set(info[0], async);
    t->weight.set(info[1], async);
    if (!info[2].IsNull()) t->bias.set(info[2], async);
    t->n = rows_of(t->x.size(), t->in, "x");
    if (t->weight.size() / t->out != t->in || t->weight.size() % t->out != 0)
      vq::fail(vq::Error::kShape, "the weight is not inputs x outputs");
    if (t->bias.size() != 0 && t->bias.size() != t->out) vq::fail(vq::Error::kShape, "the bias does not fit the weight");
    t->y.make(info.Env(), t->n * t->out, async);
    return start(info, std::move(t), async, Napi::Value());
  });
}

class NearestImplicitTask : public Task {
 public:
  Input<float> x, shift, start, up, down;
  int64_t n;
  vq::ImplicitCodebook codebook;
  Output<int32_t> indices;
  void run(const vq::CallOptions& o) override {
    codebook.start = start.data(), codebook.up = up.data(), codebook.down = down.data();
    vq::nearest_implicit(x.data(), shift.data(), n, codebook, indices.data(), o);
  }
  Napi::Value result(Napi::Env env) override { return indices.take(env); }
};

// nearestImplicitCode(x, shift, start, up, down, dim, hidden, threads, async)
Napi::Value nearest_implicit(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<NearestImplicitTask>();
    const bool async = info[8].ToBoolean();
    vq::ImplicitCodebook& c = t->codebook;
    c.dim = integer(info[5], 1, "dim");
    c.hidden = integer(info[6], 1, "hidden");
    t->threads = static_cast<int>(std::min<int64_t>(1024, integer(info[7], 1, "threads")));
    t->x.set(info[0], async);
    t->shift.set(info[1], async);
    t->start.set(info[2], async);
    t->up.set(info[3], async);
    t->down.set(info[4], async);
    t->n = rows_of(t->x.size(), c.dim, "x");
    c.k = rows_of(t->start.size(), c.dim, "start");
    c.blocks = rows_of(rows_of(t->up.size(), c.dim, "up"), c.hidden, "up");
    c.expect_sizes();
    if (t->shift.size() != t->x.size()) vq::fail(vq::Error::kShape, "there is not one shift per row");
    if (t->down.size() != t->up.size()) vq::fail(vq::Error::kShape, "down is not as large as up");
    t->indices.make(info.Env(), t->n, async);
    return start(info, std::move(t), async, Napi::Value());
  });
}

class EmaTask : public Task {
 public:
  Input<float> x, codebook, counts, sums;
  Input<int32_t> indices;
  int64_t n, k, dim;
  vq::EmaOptions ema;
  Output<float> codebook_out, counts_out, sums_out;
  void run(const vq::CallOptions& o) override {
    vq::ema_update(x.data(), indices.data(), n, dim, k, codebook.data(), counts.data(), sums.data(),
                   codebook_out.data(), counts_out.data(), sums_out.data(), ema, o);
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("codebook", codebook_out.take(env));
    r.Set("counts", counts_out.take(env));
    r.Set("sums", sums_out.take(env));
    return r;
  }
};

// emaUpdate(vectors, indices, codebook, counts, sums, dim, decay, epsilon, threads, async): new arrays
Napi::Value ema(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<EmaTask>();
    const bool async = info[9].ToBoolean();
    t->dim = integer(info[5], 1, "dim");
    t->ema.decay = number(info[6], "decay");
    t->ema.epsilon = number(info[7], "epsilon");
    t->threads = static_cast<int>(std::min<int64_t>(1024, integer(info[8], 1, "threads")));
    t->x.set(info[0], async);
    t->indices.set(info[1], async);
    t->codebook.set(info[2], async);
    t->counts.set(info[3], async);
    t->sums.set(info[4], async);
    t->n = rows_of(t->x.size(), t->dim, "vectors");
    t->k = rows_of(t->codebook.size(), t->dim, "codebook");
    if (t->indices.size() != t->n) vq::fail(vq::Error::kShape, "there is not one index per row");
    if (t->counts.size() != t->k || t->sums.size() != t->codebook.size())
      vq::fail(vq::Error::kShape, "counts and sums do not fit the codebook");
    t->codebook_out.make(info.Env(), t->k * t->dim, async);
    t->counts_out.make(info.Env(), t->k, async);
    t->sums_out.make(info.Env(), t->k * t->dim, async);
    return start(info, std::move(t), async, Napi::Value());
  });
}

class KmeansTask : public Task {
 public:
  Input<float> x, weights, first;
  int64_t n, dim;
  vq::KmeansOptions options;
  vq::KmeansResult found;
  Output<float> centroids;
  Output<int32_t> assignments;
  void run(const vq::CallOptions& o) override {
    options.progress = progress;
    found = vq::kmeans(x.data(), n, dim, options, centroids.data(), assignments.data(), o);
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("centroids", centroids.take(env));
    r.Set("assignments", assignments.take(env));
    r.Set("inertia", found.inertia);
    Napi::Array history = Napi::Array::New(env, found.history.size());
    for (uint32_t i = 0; i < found.history.size(); ++i) history.Set(i, found.history[i]);
    r.Set("history", history);
    r.Set("converged", found.converged);
    return r;
  }
};

// kmeans(vectors, { dim, k, iterations, tolerance, init, start, seedLow, seedHigh, spherical, weights, leading }, threads,
// async, progress); init is 0 random, 1 k-means++, 2 given by start.
Napi::Value kmeans(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<KmeansTask>();
    const bool async = info[3].ToBoolean();
    const Napi::Object o = info[1].As<Napi::Object>();
    vq::KmeansOptions& to = t->options;
    t->dim = integer(o.Get("dim"), 1, "dim");
    to.k = integer(o.Get("k"), 1, "k");
    to.iterations = static_cast<int>(std::min<int64_t>(INT32_MAX, integer(o.Get("iterations"), 0, "iterations")));
    to.tolerance = number(o.Get("tolerance"), "tolerance");
    const int64_t init = integer(o.Get("init"), 0, "init");
    if (init > 2) vq::fail(vq::Error::kConfig, "init is out of range");
    to.init = static_cast<vq::KmeansOptions::Init>(init);
    to.seed = static_cast<uint64_t>(integer(o.Get("seedLow"), 0, "seed")) |
              static_cast<uint64_t>(integer(o.Get("seedHigh"), 0, "seed")) << 32;
    to.spherical = o.Get("spherical").ToBoolean();
    if (o.Get("leading").IsArray()) {
      const Napi::Array leading = o.Get("leading").As<Napi::Array>();
      for (uint32_t i = 0; i < leading.Length(); ++i) to.leading.push_back(integer(leading.Get(i), 1, "leading"));
    }
    t->threads = static_cast<int>(std::min<int64_t>(1024, integer(info[2], 1, "threads")));
    t->x.set(info[0], async);
    t->n = rows_of(t->x.size(), t->dim, "vectors");
    if (to.k > t->n) vq::fail(vq::Error::kConfig, "k is larger than the number of rows");
    if (!o.Get("weights").IsNull()) {
      t->weights.set(o.Get("weights"), async);
      if (t->weights.size() != t->n) vq::fail(vq::Error::kShape, "there is not one weight per row");
      to.weights = t->weights.data();
    }
    if (init == 2) {
      t->first.set(o.Get("start"), async);
      if (t->first.size() != to.k * t->dim) vq::fail(vq::Error::kShape, "the starting centroids are not k rows of dim");
      to.start = t->first.data();
    }
    t->centroids.make(info.Env(), to.k * t->dim, async);
    t->assignments.make(info.Env(), t->n, async);
    return start(info, std::move(t), async, info[4]);
  });
}

class EstimatorTask : public Task {
 public:
  Input<float> z, q, g;
  Output<float> gradient;
  int64_t n, dim;
  vq::gpu::Estimator estimator;
  void run(const vq::CallOptions& o) override {
    vq::estimator_gradient(estimator, z.data(), q.data(), g.data(), n, dim, gradient.data(), o);
  }
  Napi::Value result(Napi::Env env) override { return gradient.take(env); }
};

// estimatorGradient(estimator, z, q, g, dim, threads)
Napi::Value estimator_gradient(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = std::make_unique<EstimatorTask>();
    const int64_t estimator = integer(info[0], 0, "estimator");
    if (estimator > 2) vq::fail(vq::Error::kConfig, "estimator is out of range");
    t->estimator = static_cast<vq::gpu::Estimator>(estimator);
    t->z.set(info[1], false);
    t->q.set(info[2], false);
    t->g.set(info[3], false);
    t->dim = integer(info[4], 1, "dim");
    t->threads = static_cast<int>(std::min<int64_t>(1024, integer(info[5], 1, "threads")));
    t->n = rows_of(t->z.size(), t->dim, "z");
    if (t->q.size() != t->z.size() || t->g.size() != t->z.size()) vq::fail(vq::Error::kShape, "z, q and g differ in length");
    t->gradient.make(info.Env(), t->n * t->dim, false);
    return start(info, std::move(t), false, Napi::Value());
  });
}

class KmeansBlockTask : public Task {
 public:
  Input<float> x, centroids;
  int64_t n, k, dim;
  int32_t* assignments;
  vq::ClusterSums to;
  void run(const vq::CallOptions& o) override { vq::kmeans_block(x.data(), n, dim, centroids.data(), k, assignments, to, o); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }
};

// kmeansBlock(vectors, centroids, dim, assignments, sums, lanes, weight, threads): the last arrays but one are written to
Napi::Value kmeans_block(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    KmeansBlockTask t;
    t.dim = integer(info[2], 1, "dim");
    t.threads = static_cast<int>(std::min<int64_t>(1024, integer(info[7], 1, "threads")));
    t.x.set(info[0], false);
    t.centroids.set(info[1], false);
    t.n = rows_of(t.x.size(), t.dim, "vectors");
    t.k = rows_of(t.centroids.size(), t.dim, "centroids");
    int64_t places = 0, sums = 0, lanes = 0, weight = 0;
    t.assignments = array_of<int32_t>(info[3], places);
    t.to = {array_of<double>(info[4], sums), array_of<double>(info[5], lanes), array_of<double>(info[6], weight)};
    if (places != t.n || sums != t.k * t.dim || lanes != t.k * 32 || weight != t.k)
      vq::fail(vq::Error::kShape, "the arrays to write to do not fit");
    return run_now(info.Env(), t);
  });
}

Napi::Value isa_list(const Info& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const std::string& name : vq::isa_list()) names.Set(names.Length(), name);
  return names;
}

}  // namespace

void register_quantize(Napi::Env env, Napi::Object exports) {
  exports.Set("nearest", Napi::Function::New(env, nearest, "nearest"));
  exports.Set("residualEncode", Napi::Function::New(env, residual, "residualEncode"));
  exports.Set("orderedLinear", Napi::Function::New(env, ordered_linear, "orderedLinear"));
  exports.Set("nearestImplicitCode", Napi::Function::New(env, nearest_implicit, "nearestImplicitCode"));
  exports.Set("emaUpdate", Napi::Function::New(env, ema, "emaUpdate"));
  exports.Set("kmeans", Napi::Function::New(env, kmeans, "kmeans"));
  exports.Set("estimatorGradient", Napi::Function::New(env, estimator_gradient, "estimatorGradient"));
  exports.Set("kmeansBlock", Napi::Function::New(env, kmeans_block, "kmeansBlock"));
  exports.Set("isaList", Napi::Function::New(env, isa_list, "isaList"));
  exports.Set("isa", Napi::Function::New(
                         env, [](const Info& info) { return Napi::String::New(info.Env(), vq::isa()); }, "isa"));
  exports.Set("setIsa", Napi::Function::New(
                            env,
                            [](const Info& info) -> Napi::Value {
                              return guarded(info.Env(), [&]() -> Napi::Value {
                                vq::set_isa(info[0].ToString().Utf8Value());
                                return info.Env().Undefined();
                              });
                            },
                            "setIsa"));
  exports.Set("scratchBytes", Napi::Function::New(
                                  env,
                                  [](const Info& info) -> Napi::Value {
                                    Napi::Object o = Napi::Object::New(info.Env());
                                    o.Set("now", static_cast<double>(vq::ScratchCount::now.load()));
                                    o.Set("peak", static_cast<double>(vq::ScratchCount::peak.load()));
                                    vq::ScratchCount::reset();
                                    return o;
                                  },
                                  "scratchBytes"));
}

}  // namespace vq_node
