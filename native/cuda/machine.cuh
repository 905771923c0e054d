// The machine of machine_arrays.h and table.h that is an NVIDIA GPU.
#pragma once
#include <cuda_runtime.h>

#include "cuda/table.h"

namespace vq::gpu {

// What block.h calls a block, on the device.
template <class Kernel>
class DeviceBlock {
 public:
  using Shared = typename Kernel::Shared;
  using Registers = typename Kernel::Registers;
  VQ_HD explicit DeviceBlock(Shared& shared) : shared_(shared) {}
  VQ_HD int64_t index() const {
#ifdef __CUDA_ARCH__
    return blockIdx.x;
#else
    return 0;
#endif
  }
  VQ_HD Shared& shared() { return shared_; }
  template <class F>
  VQ_HD void each(F&& f) {
#ifdef __CUDA_ARCH__
    f(static_cast<int>(threadIdx.x), registers_);
    __syncthreads();
#else
    f(0, registers_);  // never run: the host only launches
#endif
  }

 private:
  Shared& shared_;
  Registers registers_;
};

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads) run_kernel(const __grid_constant__ Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  DeviceBlock<Kernel> block(shared);
  kernel.run(block);
}

[[noreturn]] void fail_cuda(cudaError_t error, const char* what);
inline void check_cuda(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail_cuda(error, what);
}

class CudaMachine {
 public:
  using Stream = CUstream_st;
  using Event = CUevent_st;

  explicit CudaMachine(int device);
  CudaMachine(const CudaMachine&) = delete;
  ~CudaMachine();

  static int count(vq_versions& versions);
  static vq_device_info info(int device);

  void use(Stream* stream);
  void synchronize() { check_cuda(cudaStreamSynchronize(stream_), "waiting for the device"); }
  void figures(uint64_t& total, uint64_t& free);
  Stream* make_stream();
  void drop(Stream* stream) { cudaStreamDestroy(stream); }
  Event* make_event();
  void drop(Event* event) { cudaEventDestroy(event); }
  void record(Event* event) { check_cuda(cudaEventRecord(event, stream_), "recording an event"); }
  float elapsed(Event* from, Event* to);

  void* allocate(uint64_t bytes);
  void release(void* p);
  void* reserve(uint64_t bytes);
  void give_up(void* p) { cudaFree(p); }
  void upload(void* to, const void* from, uint64_t bytes);
  void download(void* to, const void* from, uint64_t bytes);
  void copy(void* to, const void* from, uint64_t bytes);
  void* pin(uint64_t bytes);
  void unpin(void* p) { cudaFreeHost(p); }
  void send(int slot, void* to, const void* pinned, uint64_t bytes);
  void receive(int slot) { check_cuda(cudaStreamWaitEvent(stream_, sent_[slot], 0), "waiting for rows"); }
  void used(int slot);
  void wait_sent(int slot) { check_cuda(cudaEventSynchronize(sent_[slot]), "waiting for rows"); }
  void drain() {
    if (copies_) cudaStreamSynchronize(copies_);
  }
  void sort_pairs(const int32_t* keys, const int32_t* values, int32_t* keys_out, int32_t* values_out, int64_t count, int bits);

  template <class Kernel>
  void launch(const Kernel& kernel) {
    static_assert(sizeof(typename Kernel::Shared) <= 48 << 10, "more shared memory than every device has");
    const int64_t blocks = kernel.blocks();
    if (blocks <= 0) return;
    if (blocks > INT32_MAX) fail(Error::kShape, "more rows than one launch can take");
    run_kernel<<<static_cast<unsigned>(blocks), Kernel::kThreads, 0, stream_>>>(kernel);
    check_cuda(cudaGetLastError(), "starting a kernel");
  }

 private:
  int device_;
  bool pooled_ = false;
  cudaStream_t own_ = nullptr, stream_ = nullptr;
  cudaStream_t copies_ = nullptr;  // of rows that come in blocks, with what orders it against stream_
  cudaEvent_t sent_[2] = {}, used_[2] = {};
};

}  // namespace vq::gpu
