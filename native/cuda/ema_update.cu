#include "cuda/machine.cuh"

namespace vq::gpu {
template void run_ema_update(Context<CudaMachine>&, CudaMachine&, const vq_ema_args&, const vq_call*);
}
