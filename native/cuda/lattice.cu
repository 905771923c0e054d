#include "cuda/machine.cuh"

namespace vq::gpu {
template void run_fsq_encode(Context<CudaMachine>&, CudaMachine&, const vq_fsq_args&, const vq_call*);
template void run_fsq_gradient(Context<CudaMachine>&, CudaMachine&, const vq_fsq_gradient_args&, const vq_call*);
template void run_fsq_decode(Context<CudaMachine>&, CudaMachine&, const vq_fsq_decode_args&, const vq_call*);
template void run_lfq_encode(Context<CudaMachine>&, CudaMachine&, const vq_lfq_args&, const vq_call*);
template void run_lfq_decode(Context<CudaMachine>&, CudaMachine&, const vq_lfq_decode_args&, const vq_call*);
template void run_lfq_entropy(Context<CudaMachine>&, CudaMachine&, const vq_lfq_entropy_args&, const vq_call*);
template void run_lfq_entropy_gradient(Context<CudaMachine>&, CudaMachine&, const vq_lfq_entropy_gradient_args&, const vq_call*);
}
