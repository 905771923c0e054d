// Tensor handles and kernel calls. Arguments travel in one shared Float64Array, so a call costs one crossing.
#include <chrono>
#include <cstring>
#include <memory>

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
  std::chrono::steady_clock::time_point lowered{};  // when it was last told of fewer
};

State& state(const Napi::CallbackInfo& info) { return *static_cast<State*>(info.Data()); }

Napi::Value allocate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int type = info.Length() > 1 ? info[1].As<Napi::Number>().Int32Value() : -1;
    return Napi::Number::New(info.Env(), state(info).context.allocate(static_cast<size_t>(info[0].As<Napi::Number>().Int64Value()), type));
  });
}

Napi::Value release(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    state(info).context.release(info[0].As<Napi::Number>().Int32Value());
    return info.Env().Undefined();
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

// run(op, count): runs kernel `op` on the first `count` numbers of the argument block. The hot path: plain Node-API.
napi_value run(napi_env env, napi_callback_info raw) {
  size_t argc = 2;
  napi_value argv[2];
  void* data = nullptr;
  napi_get_cb_info(env, raw, &argc, argv, nullptr, &data);
  int32_t op = -1, count = 0;
  napi_get_value_int32(env, argv[0], &op);
  napi_get_value_int32(env, argv[1], &count);
  State& s = *static_cast<State*>(data);
  const auto& table = vq::op_table();
  try {
    if (op < 0 || op >= static_cast<int32_t>(table.size())) vq::fail(vq::Error::kValue, "no such kernel");
    if (count < 0 || count > vq::Args::kCapacity) vq::fail(vq::Error::kValue, "kernel called with too many arguments");
    vq::Args args(s.context, s.args, count);
    table[op].run(args);
  } catch (const vq::Error& e) {
    to_js(Napi::Env(env), vq::Error(e.code, std::string(op >= 0 && op < static_cast<int32_t>(table.size()) ? table[op].name : "kernel") + ": " + e.what())).ThrowAsJavaScriptException();
  } catch (const std::bad_alloc&) {
    to_js(Napi::Env(env), vq::Error(vq::Error::kMemory, "out of memory")).ThrowAsJavaScriptException();
  } catch (const std::exception& e) {
    to_js(Napi::Env(env), vq::Error(vq::Error::kDevice, e.what())).ThrowAsJavaScriptException();
  }
  return nullptr;
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
// training goes up and down again; told of each, it would run all the time: it hears of what went down once a second.
Napi::Value account(const Napi::CallbackInfo& info) {
  State& s = state(info);
  const int64_t now = static_cast<int64_t>(s.context.bytes_in_use);
  const auto time = std::chrono::steady_clock::now();
  if (now < s.told && time - s.lowered < std::chrono::seconds(1)) return info.Env().Undefined();
  if (now < s.told) s.lowered = time;
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), now - s.told);
  s.told = now;
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
  exports.Set("allocate", Napi::Function::New(env, allocate, "allocate", s));
  exports.Set("release", Napi::Function::New(env, release, "release", s));
  exports.Set("write", Napi::Function::New(env, write, "write", s));
  exports.Set("read", Napi::Function::New(env, read, "read", s));
  exports.Set("setThreads", Napi::Function::New(env, set_threads, "setThreads", s));
  exports.Set("trim", Napi::Function::New(env, trim, "trim", s));
  exports.Set("account", Napi::Function::New(env, account, "account", s));
  exports.Set("memory", Napi::Function::New(env, memory, "memory", s));
  napi_value fn;
  napi_create_function(env, "run", NAPI_AUTO_LENGTH, run, s, &fn);
  exports.Set("run", Napi::Value(env, fn));
}

}  // namespace vq_node
