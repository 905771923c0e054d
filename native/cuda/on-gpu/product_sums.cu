// Whether the tensor cores of this device add as kernels/filter_bound.h takes it.
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
    std::printf("%s: sums of products are off by %.4f of what the bound takes at most (kind %d, %d products)\n",
                vq::gpu::CudaMachine::info(0).name, worst.share, worst.kind, static_cast<int>(worst.depth));
    return worst.share <= 1 ? 0 : 1;
  } catch (const vq::gpu::Unusable& e) {
    return std::printf("no device: %s\n", e.text.c_str()), 77;
  } catch (const std::exception& e) {
    return std::printf("%s\n", e.what()), 1;
  }
}
