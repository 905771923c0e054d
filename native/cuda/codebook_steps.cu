#include "cuda/machine.cuh"

namespace vq::gpu {
template void run_estimator_gradient(Context<CudaMachine>&, CudaMachine&, const vq_estimator_args&, const vq_call*);
template void run_replace_rows(Context<CudaMachine>&, CudaMachine&, const vq_replace_args&, const vq_call*);
}
