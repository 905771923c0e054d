#pragma once
#include <napi.h>

#include "vq/context.h"
#include "vq/error.h"

namespace vq_node {

Napi::Error to_js(Napi::Env env, const vq::Error& e);

// Calls f and turns a vq::Error or std::exception into a JavaScript one.
template <class F>
auto guarded(Napi::Env env, F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const vq::Error& e) {
    throw to_js(env, e);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw to_js(env, vq::Error(vq::Error::kMemory, "out of memory"));
  } catch (const std::exception& e) {
    throw to_js(env, vq::Error(vq::Error::kDevice, e.what()));
  }
}

void register_tensors(Napi::Env env, Napi::Object exports);
void register_quantize(Napi::Env env, Napi::Object exports);
void register_codes(Napi::Env env, Napi::Object exports);
void register_cuda(Napi::Env env, Napi::Object exports);

}  // namespace vq_node
