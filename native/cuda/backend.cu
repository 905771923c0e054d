// The one function that libvq_cuda exports. The operations are compiled in files of their own.
#include "cuda/machine.cuh"

namespace vq::gpu {
extern template void run_nearest(Context<CudaMachine>&, CudaMachine&, const vq_nearest_args&, const vq_call*);
extern template void run_ema_update(Context<CudaMachine>&, CudaMachine&, const vq_ema_args&, const vq_call*);
extern template void run_residual_encode(Context<CudaMachine>&, CudaMachine&, const vq_residual_args&, const vq_call*);
extern template void run_kmeans(Context<CudaMachine>&, CudaMachine&, vq_kmeans_args&, const vq_call*);
extern template void run_estimator_gradient(Context<CudaMachine>&, CudaMachine&, const vq_estimator_args&, const vq_call*);
extern template void run_replace_rows(Context<CudaMachine>&, CudaMachine&, const vq_replace_args&, const vq_call*);
extern template void run_fsq_encode(Context<CudaMachine>&, CudaMachine&, const vq_fsq_args&, const vq_call*);
extern template void run_fsq_gradient(Context<CudaMachine>&, CudaMachine&, const vq_fsq_gradient_args&, const vq_call*);
extern template void run_fsq_decode(Context<CudaMachine>&, CudaMachine&, const vq_fsq_decode_args&, const vq_call*);
extern template void run_lfq_encode(Context<CudaMachine>&, CudaMachine&, const vq_lfq_args&, const vq_call*);
extern template void run_lfq_decode(Context<CudaMachine>&, CudaMachine&, const vq_lfq_decode_args&, const vq_call*);
extern template void run_lfq_entropy(Context<CudaMachine>&, CudaMachine&, const vq_lfq_entropy_args&, const vq_call*);
extern template void run_lfq_entropy_gradient(Context<CudaMachine>&, CudaMachine&, const vq_lfq_entropy_gradient_args&, const vq_call*);
}  // namespace vq::gpu

extern "C" __attribute__((visibility("default"))) const vq_backend* vq_backend_open(uint32_t version) {
  return vq::gpu::Table<vq::gpu::CudaMachine>::open(version, "cuda");
}
