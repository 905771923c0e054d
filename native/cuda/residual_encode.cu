#include "cuda/machine.cuh"

namespace vq::gpu {
template void run_residual_encode(Context<CudaMachine>&, CudaMachine&, const vq_residual_args&, const vq_call*);
}
