#include "cuda/machine.cuh"

namespace vq::gpu {
template void run_kmeans(Context<CudaMachine>&, CudaMachine&, vq_kmeans_args&, const vq_call*);
}
