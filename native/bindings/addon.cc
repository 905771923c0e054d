// Entry of the addon. Bindings unpack, call and throw; they hold no maths and no validation beyond memory safety.
#include "addon.h"

#include "vq/versions.h"

namespace vq_node {
namespace {

const char* code_name(vq::Error::Code code) {
  switch (code) {
    case vq::Error::kShape: return "VQ_SHAPE";
    case vq::Error::kConfig: return "VQ_CONFIG";
    case vq::Error::kDevice: return "VQ_DEVICE";
    case vq::Error::kMemory: return "VQ_MEMORY";
    case vq::Error::kValue: return "VQ_VALUE";
  }
  return "VQ_VALUE";
}

Napi::Value versions(const Napi::CallbackInfo& info) {
  Napi::Object o = Napi::Object::New(info.Env());
  for (const auto& [name, version] : vq::versions()) o.Set(name, Napi::String::New(info.Env(), version));
  return o;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  register_tensors(env, exports);
  register_quantize(env, exports);
  register_codes(env, exports);
  register_cuda(env, exports);
  exports.Set("versions", Napi::Function::New(env, versions, "versions"));
  return exports;
}

}  // namespace

Napi::Error to_js(Napi::Env env, const vq::Error& e) {
  Napi::Error error = Napi::Error::New(env, e.what());
  error.Set("code", Napi::String::New(env, code_name(e.code)));
  return error;
}

}  // namespace vq_node

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return vq_node::init(env, exports); }
NODE_API_MODULE(vq, Init)
