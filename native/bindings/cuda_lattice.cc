// Finite scalar and lookup-free quantization on a device library; arrays as in cuda.cc.
#include "cuda_task.h"

namespace vq_node {
namespace {

// Codes, { indices, quantized }, or the bounded values.
class LatticeEncodeTask : public DeviceTask {
 public:
  Source<float> x;
  std::unique_ptr<vq::FsqLevels> levels;  // null for lookup-free
  int64_t n, dim;
  float scale = 1;
  bool bound_only = false, both = false;
  Target<float> quantized;
  Target<int32_t> indices;
  void compute(const vq_call& call) override {
    const vq_buffer* z = x.on(device);
    vq_buffer* codes = bound_only ? nullptr : indices.on(device);
    vq_buffer* values = both || bound_only ? quantized.on(device) : nullptr;
    if (levels) {
      const vq_fsq_args a{n, dim, levels->bound, 0, levels->levels.data(), z, codes, bound_only ? nullptr : values,
                          bound_only ? values : nullptr};
      must(device->table->fsq_encode(device->context, &a, &call));
    } else {
      const vq_lfq_args a{n, dim, scale, 0, z, codes, values};
      must(device->table->lfq_encode(device->context, &a, &call));
    }
    indices.fetch(), quantized.fetch();
  }
  Napi::Value result(Napi::Env env) override {
    if (bound_only) return quantized.take(env, *tables);
    if (!both) return indices.take(env, *tables);
    Napi::Object r = Napi::Object::New(env);
    r.Set("indices", indices.take(env, *tables));
    r.Set("quantized", quantized.take(env, *tables));
    return r;
  }
  void make(const Info& info, bool stays, bool async) {
    x.set(state(info), info[1], async);
    n = rows_of(x.size(), dim, "vectors");
    if (both || bound_only) quantized.make(info.Env(), n * dim, async, stays);
    if (!bound_only) indices.make(info.Env(), n, async, stays);
  }
};

// cudaFsqEncode(device, vectors, levels, bound, what, stays, async); what: 0 codes, 1 { indices, quantized }, 2 bounded values
Napi::Value fsq_encode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<LatticeEncodeTask>(info);
    const bool async = info[6].ToBoolean();
    t->levels = std::make_unique<vq::FsqLevels>(levels_of(info[2], info[3]));
    t->dim = t->levels->dim();
    const int64_t what = whole(info[4], 0, 2, "what");
    t->both = what == 1;
    t->bound_only = what == 2;
    t->make(info, info[5].ToBoolean(), async);
    return start(info, std::move(t), async);
  });
}

// cudaLfqEncode(device, vectors, dim, scale, what, stays, async); what: 0 codes, 1 { indices, quantized }
Napi::Value lfq_encode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<LatticeEncodeTask>(info);
    const bool async = info[6].ToBoolean();
    t->dim = whole(info[2], 1, 31, "dim");
    t->scale = real(info[3], "scale");
    t->both = whole(info[4], 0, 1, "what") == 1;
    t->make(info, info[5].ToBoolean(), async);
    return start(info, std::move(t), async);
  });
}

class LatticeDecodeTask : public DeviceTask {
 public:
  Source<int32_t> indices;
  std::unique_ptr<vq::FsqLevels> levels;
  int64_t dim;
  float scale = 1;
  Target<float> out;
  void compute(const vq_call& call) override {
    const int64_t n = indices.size();
    const vq_buffer* codes = indices.on(device);
    if (levels) {
      const vq_fsq_decode_args a{n, dim, levels->bound, 0, levels->levels.data(), codes, out.on(device)};
      must(device->table->fsq_decode(device->context, &a, &call));
    } else {
      const vq_lfq_decode_args a{n, dim, scale, 0, codes, out.on(device)};
      must(device->table->lfq_decode(device->context, &a, &call));
    }
    out.fetch();
  }
  Napi::Value result(Napi::Env env) override { return out.take(env, *tables); }
};

// cudaFsqDecode(device, indices, levels, bound, stays)
Napi::Value fsq_decode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<LatticeDecodeTask>(info);
    t->indices.set(state(info), info[1], false);
    t->levels = std::make_unique<vq::FsqLevels>(levels_of(info[2], info[3]));
    t->dim = t->levels->dim();
    t->out.make(info.Env(), t->indices.size() * t->dim, false, info[4].ToBoolean());
    return start(info, std::move(t), false);
  });
}

// cudaLfqDecode(device, indices, dim, scale, stays)
Napi::Value lfq_decode(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<LatticeDecodeTask>(info);
    t->indices.set(state(info), info[1], false);
    t->dim = whole(info[2], 1, 31, "dim");
    t->scale = real(info[3], "scale");
    t->out.make(info.Env(), t->indices.size() * t->dim, false, info[4].ToBoolean());
    return start(info, std::move(t), false);
  });
}

class FsqGradientTask : public DeviceTask {
 public:
  Source<float> z, g;
  std::unique_ptr<vq::FsqLevels> levels;
  int64_t n;
  Target<float> out;
  void compute(const vq_call& call) override {
    const vq_fsq_gradient_args a{n, levels->dim(), levels->bound, 0, levels->levels.data(), z.on(device), g.on(device), out.on(device)};
    must(device->table->fsq_gradient(device->context, &a, &call));
    out.fetch();
  }
  Napi::Value result(Napi::Env env) override { return out.take(env, *tables); }
};

// cudaFsqGradient(device, z, g, levels, bound, stays)
Napi::Value fsq_gradient(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<FsqGradientTask>(info);
    t->z.set(state(info), info[1], false);
    t->g.set(state(info), info[2], false);
    t->levels = std::make_unique<vq::FsqLevels>(levels_of(info[3], info[4]));
    t->n = rows_of(t->z.size(), t->levels->dim(), "z");
    t->out.make(info.Env(), t->z.size(), false, info[5].ToBoolean());
    return start(info, std::move(t), false);
  });
}

class EntropyTask : public DeviceTask {
 public:
  Source<float> z;
  int64_t n, bits, group;
  float kappa, entropy = 0, diversity = 0;
  Target<float> table;
  void compute(const vq_call& call) override {
    DeviceBuffer first(device, sizeof(float)), second(device, sizeof(float));
    const vq_lfq_entropy_args a{n, bits, group, kappa, 0, z.on(device), first.get(), second.get(), table.on(device)};
    must(device->table->lfq_entropy(device->context, &a, &call));
    first.download(&entropy, sizeof(float)), second.download(&diversity, sizeof(float));
    table.fetch();
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object r = Napi::Object::New(env);
    r.Set("perSample", static_cast<double>(entropy));
    r.Set("ofMean", static_cast<double>(diversity));
    r.Set("table", table.take(env, *tables));
    return r;
  }
};

// cudaLfqEntropy(device, vectors, dim, group, kappa, stays): { perSample, ofMean, table }
Napi::Value lfq_entropy(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<EntropyTask>(info);
    t->z.set(state(info), info[1], false);
    t->bits = whole(info[2], 1, 4096, "dim");
    t->group = whole(info[3], 1, 26, "group");
    t->kappa = real(info[4], "kappa");
    t->n = rows_of(t->z.size(), t->bits, "vectors");
    t->table.make(info.Env(), vq::lfq_table_size(t->bits, t->group), false, info[5].ToBoolean());
    return start(info, std::move(t), false);
  });
}

class EntropyGradientTask : public DeviceTask {
 public:
  Source<float> z, table;
  int64_t n, bits, group;
  float kappa, by_entropy, by_diversity;
  Target<float> out;
  void compute(const vq_call& call) override {
    const vq_lfq_entropy_gradient_args a{n, bits, group, kappa, by_entropy, by_diversity, 0, z.on(device), table.on(device), out.on(device)};
    must(device->table->lfq_entropy_gradient(device->context, &a, &call));
    out.fetch();
  }
  Napi::Value result(Napi::Env env) override { return out.take(env, *tables); }
};

// cudaLfqEntropyGradient(device, vectors, table, dim, group, kappa, byPerSample, byOfMean, stays)
Napi::Value lfq_entropy_gradient(const Info& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto t = task_on<EntropyGradientTask>(info);
    t->z.set(state(info), info[1], false);
    t->table.set(state(info), info[2], false);
    t->bits = whole(info[3], 1, 4096, "dim");
    t->group = whole(info[4], 1, 26, "group");
    t->kappa = real(info[5], "kappa");
    t->by_entropy = real(info[6], "byPerSample");
    t->by_diversity = real(info[7], "byOfMean");
    t->n = rows_of(t->z.size(), t->bits, "vectors");
    t->out.make(info.Env(), t->z.size(), false, info[8].ToBoolean());
    return start(info, std::move(t), false);
  });
}

}  // namespace

void register_cuda_lattice(Napi::Env env, Napi::Object exports, CudaState* tables) {
  using Function = Napi::Value (*)(const Info&);
  const std::pair<const char*, Function> functions[] = {
      {"cudaFsqEncode", fsq_encode},     {"cudaLfqEncode", lfq_encode},     {"cudaFsqDecode", fsq_decode},
      {"cudaLfqDecode", lfq_decode},     {"cudaFsqGradient", fsq_gradient}, {"cudaLfqEntropy", lfq_entropy},
      {"cudaLfqEntropyGradient", lfq_entropy_gradient}};
  for (const auto& [name, function] : functions) exports.Set(name, Napi::Function::New(env, function, name, tables));
}

}  // namespace vq_node
