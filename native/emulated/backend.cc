// The emulated device behind the C interface, as a library that the tests open in place of libvq_cuda. Never published.
#include "emulated/machine.h"

extern "C" __attribute__((visibility("default"))) const vq_backend* vq_backend_open(uint32_t version) {
  return vq::gpu::Table<vq::gpu::EmulatedMachine>::open(version, "emulated");
}
