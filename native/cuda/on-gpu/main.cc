// Runs the case list of every device on the library named first: vq_gpu_test libvq_cuda.so [--small]
// Exit status 0: all passed; 1: a case failed; 77: there is no device, and the reason is said.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "test/device_cases.h"

int main(int argc, char** argv) {
  if (argc < 2) return std::printf("usage: vq_gpu_test LIBRARY [--small]\n"), 2;
  const bool small = argc > 2 && std::strcmp(argv[2], "--small") == 0;
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::printf("cannot open: %s\n", dlerror()), 1;
  const auto open = reinterpret_cast<vq_backend_open_function>(dlsym(library, VQ_BACKEND_OPEN));
  const vq_backend* b = open ? open(VQ_BACKEND_VERSION) : nullptr;
  if (!b) return std::printf("%s does not speak version %u\n", argv[1], VQ_BACKEND_VERSION), 1;
  int32_t devices = 0;
  vq_versions versions{};
  if (b->device_count(&devices, &versions) != VQ_OK) {
    std::printf("no device: %s (driver %d, library %d)\n", b->last_error(), versions.driver, versions.runtime);
    return 77;
  }
  vq_device_info info{};
  vq_context* context = nullptr;
  if (b->device_info(0, &info) != VQ_OK || b->context_create(0, &context) != VQ_OK)
    return std::printf("cannot use the device: %s\n", b->last_error()), 1;
  std::printf("%s, compute capability %d.%d, driver for CUDA %d, library %d, %s sizes\n", info.name, info.compute_major,
              info.compute_minor, versions.driver, versions.runtime, small ? "small" : "all");

  int failures = 0, checks = 0, shown = 0;
  vq_test::DeviceCases cases{*b, context,
                             [&](bool ok, const std::string& what) {
                               ++checks;
                               if (ok) return;
                               ++failures;
                               if (++shown <= 50) std::printf("  %s\n", what.c_str());
                             },
                             !small, static_cast<int>(std::max(2u, std::thread::hardware_concurrency()))};
  for (int i = 0; i < vq_test::DeviceCases::count; ++i) {
    const int before = failures, already = checks;
    (cases.*vq_test::DeviceCases::all[i].run)();
    std::printf("%s %s, %d checks\n", failures == before ? "ok  " : "FAIL", vq_test::DeviceCases::all[i].name, checks - already);
    std::fflush(stdout);
  }
  vq_memory memory{};
  if (b->memory(context, &memory) != VQ_OK || memory.buffers != 0) ++failures, std::printf("FAIL buffers were left\n");
  b->context_destroy(context);
  if (b->device_info(0, &info) == VQ_OK) {
    const char* scans[] = {"REFUSED wgmma, which differs from mma, and used mma", "was not used", "used mma", "used wgmma"};
    std::printf("the filter of nearest %s\n", scans[info.scan + 1]);
    failures += info.scan == VQ_SCAN_REFUSED;
  }
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}
