#include "device_library.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "vq/error.h"

namespace vq_node {
namespace {

const char* code_name(int code) {
  switch (code) {
    case VQ_ERROR_NO_DRIVER: return "no-driver";
    case VQ_ERROR_OLD_DRIVER: return "old-driver";
    case VQ_ERROR_NO_DEVICE: return "no-device";
    case VQ_ERROR_OLD_DEVICE: return "old-device";
    default: return "failed";
  }
}

OpenedLibrary open(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {nullptr, "cannot-open", dlerror()};
  const auto get = reinterpret_cast<vq_backend_open_function>(dlsym(handle, VQ_BACKEND_OPEN));
  if (!get) return {nullptr, "cannot-open", path + ": no " VQ_BACKEND_OPEN " in it, so it is no library of VQ"};
  const vq_backend* table = get(VQ_BACKEND_VERSION);
  if (!table || table->version != VQ_BACKEND_VERSION || table->size < sizeof(vq_backend)) {
    const vq_backend* newest = get(0);
    return {nullptr, "other-version",
            path + " speaks version " + (newest ? std::to_string(newest->version) : "unknown") +
                " of the interface, this addon version " + std::to_string(VQ_BACKEND_VERSION)};
  }
  auto device = std::make_shared<Device>();
  device->table = table;
  if (const int code = table->device_count(&device->count, &device->versions)) return {nullptr, code_name(code), table->last_error()};
  OpenedLibrary failed{nullptr, "no-device", "none of the GPUs can be used"};
  bool tried = false;
  for (int32_t i = 0; i < device->count; ++i) {
    if (table->device_info(i, &device->info) != VQ_OK) continue;
    // A library counts devices that it may be too new for; its kernels run from 7.5 on.
    if (device->info.compute_major * 10 + device->info.compute_minor < 75) continue;
    const int code = table->context_create(i, &device->context);
    if (code == VQ_OK) return {device, "", ""};
    if (!tried) failed = {nullptr, code_name(code), table->last_error()};  // the next one may work
    tried = true;
  }
  return failed;
}

}  // namespace

const OpenedLibrary& open_library(const std::string& path) {
  static std::mutex mutex;
  static auto& opened = *new std::map<std::string, OpenedLibrary>;  // outlives every thread that uses it
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = opened.find(path);
  return found != opened.end() ? found->second : opened.emplace(path, open(path)).first->second;
}

void check(const Device& device, int code) {
  const auto text = [&] { return device.table->last_error(); };
  switch (code) {
    case VQ_OK: return;
    case VQ_ERROR_STOPPED: throw vq::Stopped();
    case VQ_ERROR_SHAPE: vq::fail(vq::Error::kShape, text());
    case VQ_ERROR_CONFIG: vq::fail(vq::Error::kConfig, text());
    case VQ_ERROR_MEMORY: vq::fail(vq::Error::kMemory, text());
    case VQ_ERROR_VALUE: vq::fail(vq::Error::kValue, text());
    default: vq::fail(vq::Error::kDevice, text());
  }
}

}  // namespace vq_node
