// Whether the tensor cores of this device add as kernels/filter_bound.h takes it, by mma and, on Hopper, by wgmma.
// Exit status 0: they do; 1: a sum is further off; 77: there is no device that has them.
#include <cstdio>

#include "cuda/machine.cuh"
#include "test/product_sums.h"

int main() {
  vq_versions versions{};
  try {
    vq::gpu::CudaMachine::count(versions);
    vq::gpu::CudaMachine machine(0);
    if (!machine.has_tensor_cores()) return std::printf("no bfloat16 products before sm_80\n"), 77;
    machine.use(nullptr);
    const vq_test::WorstSum worst = vq_test::worst_sum(machine, 2000, {16, 32, 64, 256, 1024});
    // As the scans add up, with what they use from here on: wgmma where this is Hopper.
    machine.prepare_scan();
    double scanned[2];
    for (bool plain : {false, true})
      scanned[plain] = vq_test::worst_scanned_sum(machine, 5, 32, {16, 64, 256, 333, 1024},
                                                  [&](const vq::gpu::ScanArrays& a) { machine.scan(a, plain); })
                           .share;
    const vq_device_info info = vq::gpu::CudaMachine::info(0);
    std::printf("%s: sums of products are off by %.4f of what the bound takes at most (kind %d, %d products); in the scan by %s "
                "%.4f, by mma %.4f\n",
                info.name, worst.share, worst.kind, static_cast<int>(worst.depth), info.scan == VQ_SCAN_WGMMA ? "wgmma" : "mma",
                scanned[0], scanned[1]);
    return worst.share <= 1 && scanned[0] <= 1 && scanned[1] <= 1 ? 0 : 1;
  } catch (const vq::gpu::Unusable& e) {
    return std::printf("no device: %s\n", e.text.c_str()), 77;
  } catch (const std::exception& e) {
    return std::printf("%s\n", e.what()), 1;
  }
}
