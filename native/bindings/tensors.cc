// Tensor handles and kernel calls. Arguments travel in one shared Float64Array, so a call costs one crossing.
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "addon.h"
#include "vq/op.h"
#include "vq/threads.h"

namespace vq_node {
namespace {

struct State {
  vq::Context context;
  Napi::Reference<Napi::Float64Array> block;
  double* args = nullptr;
  int64_t told = 0;  // bytes that the garbage collector knows of
  int64_t most = 0, lately = 0;  // the most in use, less what was found forgotten; the same since `since`
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
};

State& state(const Napi::CallbackInfo& info) { return *static_cast<State*>(info.Data()); }

// The hot path is plain Node-API: allocate, release and run are called for every kernel.
template <int kCount>
struct Call {
  Call(napi_env env, napi_callback_info raw) {
    size_t count = kCount;
    void* data = nullptr;
    napi_get_cb_info(env, raw, &count, values, nullptr, &data);
    state = static_cast<State*>(data);
  }
  napi_value values[kCount];
  State* state;
};

// guarded() for plain Node-API, where an exception may not leave the callback.
template <class F>
napi_value plainly(napi_env env, F&& f) {
  try {
    return guarded(Napi::Env(env), f);
  } catch (const Napi::Error& e) {
    e.ThrowAsJavaScriptException();
    return nullptr;
  }
}

// allocate(bytes, type = -1): the handle of a new buffer.
napi_value allocate(napi_env env, napi_callback_info raw) {
  const Call<2> call(env, raw);
  return plainly(env, [&] {
    int64_t bytes = 0;
    int32_t type = -1;
    napi_get_value_int64(env, call.values[0], &bytes);
    napi_get_value_int32(env, call.values[1], &type);  // stays -1 where it is left out
    napi_value handle = nullptr;
    napi_create_int32(env, call.state->context.allocate(static_cast<size_t>(bytes), type), &handle);
    return handle;
  });
}

napi_value release(napi_env env, napi_callback_info raw) {
  const Call<1> call(env, raw);
  return plainly(env, [&]() -> napi_value {
    int32_t handle = -1;
    napi_get_value_int32(env, call.values[0], &handle);
    call.state->context.release(handle);
    return nullptr;
  });
}

// bury(handle): releases what the garbage collector found forgotten.
napi_value bury(napi_env env, napi_callback_info raw) {
  const Call<1> call(env, raw);
  return plainly(env, [&]() -> napi_value {
    int32_t handle = -1;
    napi_get_value_int32(env, call.values[0], &handle);
    State& s = *call.state;
    const size_t before = s.context.bytes_in_use;
    s.context.release(handle);
    s.most -= static_cast<int64_t>(before - s.context.bytes_in_use);
    return nullptr;
  });
}

// write(handle, typedArray): copies the array's bytes to the start of the buffer.
Napi::Value write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    vq::Buffer& b = state(info).context.at(info[0].As<Napi::Number>().Int32Value());
    Napi::TypedArray a = info[1].As<Napi::TypedArray>();
    const size_t n = a.ByteLength();
    if (n > b.bytes) vq::fail(vq::Error::kShape, "write of " + std::to_string(n) + " bytes into a tensor of " + std::to_string(b.bytes));
    if (n) std::memcpy(b.data, static_cast<const uint8_t*>(a.ArrayBuffer().Data()) + a.ByteOffset(), n);
    return info.Env().Undefined();
  });
}

// read(handle, typedArray): copies the first bytes of the buffer into the array.
Napi::Value read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    vq::Buffer& b = state(info).context.at(info[0].As<Napi::Number>().Int32Value());
    Napi::TypedArray a = info[1].As<Napi::TypedArray>();
    const size_t n = a.ByteLength();
    if (n > b.bytes) vq::fail(vq::Error::kShape, "read of " + std::to_string(n) + " bytes from a tensor of " + std::to_string(b.bytes));
    if (n) std::memcpy(static_cast<uint8_t*>(a.ArrayBuffer().Data()) + a.ByteOffset(), b.data, n);
    return info.Env().Undefined();
  });
}

// run(op, count): runs kernel `op` on the first `count` numbers of the argument block.
napi_value run(napi_env env, napi_callback_info raw) {
  const Call<2> call(env, raw);
  int32_t op = -1, count = 0;
  napi_get_value_int32(env, call.values[0], &op);
  napi_get_value_int32(env, call.values[1], &count);
  State& s = *call.state;
  const auto& table = vq::op_table();
  return plainly(env, [&]() -> napi_value {
    if (op < 0 || op >= static_cast<int32_t>(table.size())) vq::fail(vq::Error::kValue, "kernel: no such kernel");
    try {
      if (count < 0 || count > vq::Args::kCapacity) vq::fail(vq::Error::kValue, "called with too many arguments");
      vq::Args args(s.context, s.args, count);
      table[op].run(args);
    } catch (const vq::Error& e) {
      throw vq::Error(e.code, std::string(table[op].name) + ": " + e.what());
    }
    return nullptr;
  });
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  state(info).context.threads = std::max(1, info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

Napi::Value trim(const Napi::CallbackInfo& info) {
  state(info).context.trim();
  return info.Env().Undefined();
}

// Tells the garbage collector how much memory hangs on its objects, so that it runs when that grows. Every step of a
// training goes up and down again, and told of each it would run all the time. So it hears of the most that was in use:
// that grows without end only where tensors are forgotten, and it finding them lowers it.
Napi::Value account(const Napi::CallbackInfo& info) {
  State& s = state(info);
  const int64_t now = static_cast<int64_t>(s.context.bytes_in_use);
  const auto time = std::chrono::steady_clock::now();
  s.lately = std::max(s.lately, now);
  s.most = std::max(s.most, now);
  if (time - s.since > std::chrono::seconds(60)) s.most = s.lately, s.lately = now, s.since = time;
  if (s.most == s.told) return info.Env().Undefined();
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), s.most - s.told);
  s.told = s.most;
  return info.Env().Undefined();
}

Napi::Value memory(const Napi::CallbackInfo& info) {
  const vq::Context& c = state(info).context;
  Napi::Object o = Napi::Object::New(info.Env());
  o.Set("buffers", static_cast<double>(c.buffers));
  o.Set("bytesInUse", static_cast<double>(c.bytes_in_use));
  o.Set("bytesCached", static_cast<double>(c.bytes_cached));
  o.Set("bytesPeak", static_cast<double>(c.bytes_peak));
  return o;
}

}  // namespace

void register_tensors(Napi::Env env, Napi::Object exports) {
  State* s = new State;
  s->context.threads = vq::max_threads();
  Napi::Float64Array block = Napi::Float64Array::New(env, vq::Args::kCapacity);
  s->args = block.Data();
  s->block = Napi::Persistent(block);
  env.AddCleanupHook([](State* p) {
    p->block.SuppressDestruct();
    delete p;
  }, s);

  Napi::Object ops = Napi::Object::New(env);
  const auto& table = vq::op_table();
  for (size_t i = 0; i < table.size(); ++i) ops.Set(table[i].name, static_cast<double>(i));
  exports.Set("ops", ops);
  exports.Set("args", block);
  exports.Set("maxThreads", vq::max_threads());
  exports.Set("write", Napi::Function::New(env, write, "write", s));
  exports.Set("read", Napi::Function::New(env, read, "read", s));
  exports.Set("setThreads", Napi::Function::New(env, set_threads, "setThreads", s));
  exports.Set("trim", Napi::Function::New(env, trim, "trim", s));
  exports.Set("account", Napi::Function::New(env, account, "account", s));
  exports.Set("memory", Napi::Function::New(env, memory, "memory", s));
  const std::pair<const char*, napi_callback> hot[] = {{"allocate", allocate}, {"release", release}, {"bury", bury}, {"run", run}};
  for (const auto& [name, function] : hot) {
    napi_value fn;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, s, &fn);
    exports.Set(name, Napi::Value(env, fn));
  }
}

}  // namespace vq_node
