// Quantization on a device library. Arrays are typed arrays, which travel for the call, or handles of memory that stays on
// the device. Device and memory are whole numbers in JavaScript: what they stand for lives in a table per thread of Node.
#include <algorithm>
#include <cstdlib>

#include "cuda_task.h"

namespace vq_node {
namespace {

// Rows of a block that passes through the device; 0 leaves it to the library. For tests.
int64_t block_rows() {
  const char* rows = std::getenv("VQ_CUDA_BLOCK_ROWS");
  return rows ? std::max(0L, std::atol(rows)) : 0;
}

class NearestTask : public DeviceTask {
 public:
  Source<float> x, codes;
  Target<int32_t> indices;
  Target<float> distances;
  int64_t n, k, dim;
  int metric;
  void compute(const vq_call& call) override {
    vq_nearest_args a{};
    a.n = n, a.k = k, a.dim = dim, a.metric = metric, a.codebook = codes.on(device), a.block_rows = block_rows();
    a.host_x = x.host();
    if (a.host_x) a.host_indices = indices.host(), a.host_distances = distances.host();
    else a.x = x.on(device), a.indices = indices.on(device), a.distances = distances.on(device);
    must(device->table->nearest(device->context, &a, &call));
    indices.fetch(), distances.fetch();
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("indices", indices.take(env, *tables));
    r.Set("distances", distances.take(env, *tables));
    return r;
  }
};

// cudaNearest(device, vectors, codebook, dim, metric, stays, async)
Napi::Value nearest(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<NearestTask>(info);
    const bool stays = info[5].ToBoolean(), async = info[6].ToBoolean();
    t->dim = whole(info[3], 1, INT32_MAX, "dim");
    t->metric = static_cast<int>(whole(info[4], 0, 2, "metric"));
    t->x.set(state(info), info[1], async);
    t->codes.set(state(info), info[2], async);
    t->n = rows_of(t->x.size(), t->dim, "vectors");
    t->k = rows_of(t->codes.size(), t->dim, "codebook");
    t->indices.make(info.Env(), t->n, async, stays);
    t->distances.make(info.Env(), t->n, async, stays);
    return start(info, std::move(t), async);
  });
}

class ResidualTask : public DeviceTask {
 public:
  Source<float> x;
  std::vector<std::unique_ptr<Source<float>>> books;
  std::vector<int64_t> sizes;
  Target<int32_t> codes;
  Target<float> quantized, errors, level_errors;
  int64_t n, dim;
  int beam;
  bool each = false;
  void compute(const vq_call& call) override {
    std::vector<const vq_buffer*> at;
    for (const auto& b : books) at.push_back(b->on(device));
    vq_residual_args a{};
    a.n = n, a.dim = dim, a.levels = static_cast<int32_t>(books.size()), a.beam = beam;
    a.codebooks = at.data(), a.sizes = sizes.data(), a.block_rows = block_rows();
    a.host_x = x.host();
    if (a.host_x) a.host_codes = codes.host(), a.host_quantized = quantized.host(), a.host_errors = errors.host();
    else a.x = x.on(device), a.codes = codes.on(device), a.quantized = quantized.on(device), a.errors = errors.on(device);
    if (each && a.host_x) a.host_level_errors = level_errors.host();
    else if (each) a.level_errors = level_errors.on(device);
    must(device->table->residual_encode(device->context, &a, &call));
    codes.fetch(), quantized.fetch(), errors.fetch();
    if (each) level_errors.fetch();
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("codes", codes.take(env, *tables));
    r.Set("quantized", quantized.take(env, *tables));
    r.Set("errors", errors.take(env, *tables));
    if (each) r.Set("levelErrors", level_errors.take(env, *tables));
    return r;
  }
};

// cudaResidualEncode(device, vectors, codebooks, dim, beam, levelErrors, stays, async)
Napi::Value residual(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<ResidualTask>(info);
    const bool stays = info[6].ToBoolean(), async = info[7].ToBoolean();
    t->each = info[5].ToBoolean();
    t->dim = whole(info[3], 1, INT32_MAX, "dim");
    t->beam = static_cast<int>(whole(info[4], 1, 1 << 20, "beam"));
    t->x.set(state(info), info[1], async);
    t->n = rows_of(t->x.size(), t->dim, "vectors");
    if (!info[2].IsArray()) vq::fail(vq::Error::kConfig, "codebooks is not an array");
    const Napi::Array list = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
      t->books.push_back(std::make_unique<Source<float>>());
      t->books.back()->set(state(info), list.Get(i), async);
      t->sizes.push_back(rows_of(t->books.back()->size(), t->dim, "codebook"));
    }
    t->codes.make(info.Env(), t->n * static_cast<int64_t>(t->books.size()), async, stays);
    t->quantized.make(info.Env(), t->n * t->dim, async, stays);
    t->errors.make(info.Env(), t->n, async, stays);
    if (t->each) t->level_errors.make(info.Env(), t->n * static_cast<int64_t>(t->books.size()), async, stays);
    return start(info, std::move(t), async);
  });
}

class EmaTask : public DeviceTask {
 public:
  Source<float> x, codebook, counts, sums;
  Source<int32_t> indices;
  Target<float> codebook_out, counts_out, sums_out;
  int64_t n, k, dim;
  double decay, epsilon;
  void compute(const vq_call& call) override {
    const vq_ema_args a{n, k, dim, decay, epsilon, x.on(device), indices.on(device), codebook.on(device), counts.on(device),
                        sums.on(device), codebook_out.on(device), counts_out.on(device), sums_out.on(device)};
    must(device->table->ema_update(device->context, &a, &call));
    codebook_out.fetch(), counts_out.fetch(), sums_out.fetch();
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("codebook", codebook_out.take(env, *tables));
    r.Set("counts", counts_out.take(env, *tables));
    r.Set("sums", sums_out.take(env, *tables));
    return r;
  }
};

// cudaEmaUpdate(device, vectors, indices, codebook, counts, sums, dim, decay, epsilon, stays, async): new arrays
Napi::Value ema(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<EmaTask>(info);
    const bool stays = info[9].ToBoolean(), async = info[10].ToBoolean();
    CudaState& s = state(info);
    t->x.set(s, info[1], async);
    t->indices.set(s, info[2], async);
    t->codebook.set(s, info[3], async);
    t->counts.set(s, info[4], async);
    t->sums.set(s, info[5], async);
    t->dim = whole(info[6], 1, INT32_MAX, "dim");
    t->decay = info[7].ToNumber().DoubleValue();
    t->epsilon = info[8].ToNumber().DoubleValue();
    t->n = rows_of(t->x.size(), t->dim, "vectors");
    t->k = rows_of(t->codebook.size(), t->dim, "codebook");
    t->codebook_out.make(info.Env(), t->k * t->dim, async, stays);
    t->counts_out.make(info.Env(), t->k, async, stays);
    t->sums_out.make(info.Env(), t->k * t->dim, async, stays);
    return start(info, std::move(t), async);
  });
}

class KmeansTask : public DeviceTask {
 public:
  Source<float> x, weights, first;
  Target<float> centroids;
  Target<int32_t> assignments;
  vq_kmeans_args a{};
  std::vector<double> history;
  bool weighted = false;
  void compute(const vq_call& call) override {
    a.host_x = x.host(), a.block_rows = block_rows();
    if (!a.host_x) a.x = x.on(device);
    if (weighted) a.weights = weights.on(device);
    if (a.init == VQ_INIT_GIVEN) a.start = first.on(device);
    a.centroids = centroids.on(device);
    a.assignments = assignments.on(device);
    history.resize(static_cast<size_t>(a.iterations) + 1);
    a.history = history.data();
    if (progress)
      a.progress = [](void* user, int32_t i, double inertia) { static_cast<KmeansTask*>(static_cast<DeviceTask*>(user))->progress(i, inertia); };
    must(device->table->kmeans(device->context, &a, &call));
    history.resize(static_cast<size_t>(a.history_size));
    centroids.fetch(), assignments.fetch();
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("centroids", centroids.take(env, *tables));
    r.Set("assignments", assignments.take(env, *tables));
    r.Set("inertia", a.inertia);
    Napi::Array list = Napi::Array::New(env, history.size());
    for (uint32_t i = 0; i < history.size(); ++i) list.Set(i, history[i]);
    r.Set("history", list);
    r.Set("converged", a.converged != 0);
    return r;
  }
};

// cudaKmeans(device, vectors, options as of kmeans, stays, async, progress)
Napi::Value kmeans(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<KmeansTask>(info);
    const bool stays = info[3].ToBoolean(), async = info[4].ToBoolean();
    const Napi::Object o = info[2].As<Napi::Object>();
    vq_kmeans_args& a = t->a;
    a.dim = whole(o.Get("dim"), 1, INT32_MAX, "dim");
    a.k = whole(o.Get("k"), 1, INT32_MAX, "k");
    a.iterations = static_cast<int32_t>(whole(o.Get("iterations"), 0, 1 << 24, "iterations"));
    a.tolerance = o.Get("tolerance").ToNumber().DoubleValue();
    a.init = static_cast<int32_t>(whole(o.Get("init"), 0, 2, "init"));
    a.seed = static_cast<uint64_t>(whole(o.Get("seedLow"), 0, UINT32_MAX, "seed")) |
             static_cast<uint64_t>(whole(o.Get("seedHigh"), 0, UINT32_MAX, "seed")) << 32;
    a.spherical = o.Get("spherical").ToBoolean();
    t->x.set(state(info), info[1], async);
    a.n = rows_of(t->x.size(), a.dim, "vectors");
    t->weighted = !o.Get("weights").IsNull();
    if (t->weighted) t->weights.set(state(info), o.Get("weights"), async);
    if (a.init == VQ_INIT_GIVEN) t->first.set(state(info), o.Get("start"), async);
    t->centroids.make(info.Env(), a.k * a.dim, async, stays);
    t->assignments.make(info.Env(), a.n, async, stays);
    return start(info, std::move(t), async, info[5]);
  });
}

class EstimatorTask : public DeviceTask {
 public:
  Source<float> z, q, g;
  Target<float> gradient;
  int64_t n, dim;
  int32_t estimator;
  void compute(const vq_call& call) override {
    const vq_estimator_args a{n, dim, estimator, 0, z.on(device), q.on(device), g.on(device), gradient.on(device)};
    must(device->table->estimator_gradient(device->context, &a, &call));
    gradient.fetch();
  }
  Napi::Value result(Napi::Env env) override { return gradient.take(env, *tables); }
};

// cudaEstimatorGradient(device, estimator, z, q, g, dim, stays)
Napi::Value estimator_gradient(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<EstimatorTask>(info);
    CudaState& s = state(info);
    t->estimator = static_cast<int32_t>(whole(info[1], 0, 2, "estimator"));
    t->z.set(s, info[2], false);
    t->q.set(s, info[3], false);
    t->g.set(s, info[4], false);
    t->dim = whole(info[5], 1, INT32_MAX, "dim");
    t->n = rows_of(t->z.size(), t->dim, "z");
    t->gradient.make(info.Env(), t->n * t->dim, false, info[6].ToBoolean());
    return start(info, std::move(t), false);
  });
}

class ReplaceTask : public DeviceTask {
 public:
  Source<float> x;
  Source<int32_t> codes, rows;
  Memory codebook, counts, sums;
  int64_t dim;
  float fresh;
  void compute(const vq_call& call) override {
    const auto floats = [](const Memory& m) {
      return m ? static_cast<int64_t>(m->device()->table->buffer_bytes(m->get()) / sizeof(float)) : 0;
    };
    vq_replace_args a{};
    a.n = rows_of(x.size(), dim, "vectors"), a.k = rows_of(floats(codebook), dim, "codebook"), a.dim = dim;
    a.count = codes.size(), a.fresh = fresh;
    if (rows.size() != a.count) vq::fail(vq::Error::kShape, "there is not one row per code");
    a.x = x.on(device), a.codes = codes.on(device), a.rows = rows.on(device);
    a.codebook = codebook->get(), a.counts = counts->get(), a.sums = sums ? sums->get() : nullptr;
    must(device->table->replace_rows(device->context, &a, &call));
  }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }
};

// cudaReplaceRows(device, vectors, codes, rows, fresh, codebook, counts, sums or null, dim): the last three arrays in place
Napi::Value replace_rows(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<ReplaceTask>(info);
    CudaState& s = state(info);
    t->x.set(s, info[1], false);
    t->codes.set(s, info[2], false);
    t->rows.set(s, info[3], false);
    t->fresh = static_cast<float>(info[4].ToNumber().DoubleValue());
    t->codebook = memory_at(s, info[5]);
    t->counts = memory_at(s, info[6]);
    if (!info[7].IsNull()) t->sums = memory_at(s, info[7]);
    t->dim = whole(info[8], 1, INT32_MAX, "dim");
    return start(info, std::move(t), false);
  });
}

std::string version_text(int32_t v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); }

// cudaOpen(path): { device, gpu, computeCapability, memory, processors, devices, driver, runtime } or { code, reason }
Napi::Value open(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    CudaState& s = state(info);
    const OpenedLibrary& opened = open_library(info[0].ToString().Utf8Value());
    Napi::Object o = Napi::Object::New(info.Env());
    if (!opened.device) {
      o.Set("code", opened.code);
      o.Set("reason", opened.reason);
      return o;
    }
    const Device& d = *opened.device;
    o.Set("device", static_cast<double>(s.devices.size()));
    s.devices.push_back(opened.device);
    o.Set("gpu", std::string(d.info.name));
    o.Set("computeCapability", std::to_string(d.info.compute_major) + "." + std::to_string(d.info.compute_minor));
    o.Set("memory", static_cast<double>(d.info.memory));
    o.Set("processors", d.info.processors);
    o.Set("devices", d.count);
    Napi::Array gpus = Napi::Array::New(info.Env());
    for (int32_t i = 0; i < d.count; ++i) {
      vq_device_info each{};
      if (d.table->device_info(i, &each) == VQ_OK) gpus.Set(gpus.Length(), std::string(each.name));
    }
    o.Set("gpus", gpus);
    o.Set("driver", version_text(d.versions.driver));
    o.Set("runtime", version_text(d.versions.runtime));
    return o;
  });
}

// cudaMemory(device): { total, free, inUse, peak, buffers }
Napi::Value memory(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto d = device_at(info);
    vq_memory m{};
    check(*d, d->table->memory(d->context, &m));
    Napi::Object o = Napi::Object::New(info.Env());
    o.Set("total", static_cast<double>(m.total));
    o.Set("free", static_cast<double>(m.free));
    o.Set("inUse", static_cast<double>(m.in_use));
    o.Set("peak", static_cast<double>(m.peak));
    o.Set("buffers", static_cast<double>(m.buffers));
    return o;
  });
}

struct Bytes {
  explicit Bytes(const Napi::Value& v) {
    napi_typedarray_type type;
    size_t count = 0;
    if (!v.IsTypedArray() || napi_get_typedarray_info(v.Env(), v, &type, &count, &data, nullptr, nullptr) != napi_ok)
      vq::fail(vq::Error::kConfig, "expected a typed array");
    bytes = v.As<Napi::TypedArray>().ByteLength();
  }
  void* data = nullptr;
  size_t bytes = 0;
};

// cudaUpload(device, typedArray): the handle of new memory
Napi::Value upload(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Bytes from(info[1]);
    auto m = std::make_shared<DeviceBuffer>(device_at(info), from.bytes);
    if (from.bytes) m->upload(from.data, from.bytes);
    return Napi::Number::New(info.Env(), state(info).keep(std::move(m)));
  });
}
// cudaRead(handle, typedArray)
Napi::Value read(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Bytes to(info[1]);
    const Memory m = memory_at(state(info), info[0]);
    if (to.bytes) m->download(to.data, to.bytes);
    return info.Env().Undefined();
  });
}
// cudaRelease(handle): a call that still runs on the memory keeps it until it ends
Napi::Value release(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    CudaState& s = state(info);
    memory_at(s, info[0]);
    s.memory.erase(info[0].As<Napi::Number>().Int32Value());
    return info.Env().Undefined();
  });
}

}  // namespace

void register_cuda(Napi::Env env, Napi::Object exports) {
  CudaState* s = new CudaState;
  env.AddCleanupHook([](CudaState* p) { delete p; }, s);
  using Function = Napi::Value (*)(const Info&);
  const std::pair<const char*, Function> functions[] = {
      {"cudaOpen", open},       {"cudaMemory", memory},   {"cudaUpload", upload},          {"cudaRead", read},
      {"cudaRelease", release}, {"cudaNearest", nearest}, {"cudaResidualEncode", residual}, {"cudaEmaUpdate", ema},
      {"cudaKmeans", kmeans},   {"cudaEstimatorGradient", estimator_gradient}, {"cudaReplaceRows", replace_rows}};
  for (const auto& [name, function] : functions) exports.Set(name, Napi::Function::New(env, function, name, s));
  register_cuda_lattice(env, exports, s);
  exports.Set("cudaInterfaceVersion", static_cast<double>(VQ_BACKEND_VERSION));
}

}  // namespace vq_node
