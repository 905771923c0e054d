#include "cuda/machine.cuh"

namespace vq::gpu {
template void run_nearest(Context<CudaMachine>&, CudaMachine&, const vq_nearest_args&, const vq_call*);
}
