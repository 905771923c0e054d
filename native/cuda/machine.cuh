// The machine of machine_arrays.h and table.h that is an NVIDIA GPU.
#pragma once
#include <cuda_runtime.h>

#include <type_traits>

#include "cuda/table.h"

namespace vq::gpu {

// What block.h calls a warp, on the device: this thread's. The instructions exist from sm_80 on; older code is never run.
template <class Registers>
class DeviceWarp {
 public:
  VQ_HD explicit DeviceWarp(Registers& registers) : registers_(registers) {}
  template <class F>
  VQ_HD void each(F&& f) {
    f(lane(), registers_);
  }
  template <class To, class From>
  VQ_HD void matrices(To&& to, From&& from) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t* r = to(registers_);
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(from(lane())));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
#endif
  }
  template <class Sums, class Left, class Right>
  VQ_HD void multiply(Sums&& sums, Left&& left, Right&& right) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float* c = sums(registers_);
    const uint32_t *a = left(registers_), *b = right(registers_);
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
  }

 private:
  VQ_HD static int lane() {
#ifdef __CUDA_ARCH__
    return threadIdx.x % 32;
#else
    return 0;
#endif
  }
  Registers& registers_;
};

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
  VQ_HD bool last_of(int32_t* counter, int32_t count) {
#ifdef __CUDA_ARCH__
    __threadfence();
    __syncthreads();
    const bool last = __syncthreads_or(threadIdx.x == 0 && atomicAdd(counter, 1) == count - 1);
    if (last) __threadfence();
    return last;
#else
    return ++*counter == count;  // never run
#endif
  }
  template <class F>
  VQ_HD void warps(F&& f) {
#ifdef __CUDA_ARCH__
    DeviceWarp<Registers> warp(registers_);
    f(static_cast<int>(threadIdx.x / 32), warp);
#endif
  }
  template <class F>
  VQ_HD void fetch(F&& f) {
#ifdef __CUDA_ARCH__
    f(static_cast<int>(threadIdx.x));
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
#endif
  }
  VQ_HD void copy_chunk(void* to, const void* from) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                 :
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))), "l"(__cvta_generic_to_global(from))
                 : "memory");
#endif
  }
  template <int kLeft>
  VQ_HD void arrived() {
#ifdef __CUDA_ARCH__
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
    __syncthreads();
#endif
  }

 private:
  Shared& shared_;
  Registers registers_;
};

// How many blocks of a kernel must fit a multiprocessor. Without a say (0) the compiler rather spills than lets one less fit.
template <class Kernel, class = void>
constexpr int kFitting = 0;
template <class Kernel>
constexpr int kFitting<Kernel, std::void_t<decltype(Kernel::kBlocksAtOnce)>> = Kernel::kBlocksAtOnce;

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, kFitting<Kernel>) run_kernel(const __grid_constant__ Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  DeviceBlock<Kernel> block(shared);
  kernel.run(block);
}

// For kernels with more shared memory than a launch has without asking.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads) run_large_kernel(const __grid_constant__ Kernel kernel) {
  extern __shared__ __align__(1024) unsigned char room[];
  DeviceBlock<Kernel> block(*reinterpret_cast<typename Kernel::Shared*>(room));
  kernel.run(block);
}
constexpr size_t kSharedAtOnce = 48 << 10;     // what a launch has
constexpr size_t kSharedOnDemand = 99 << 10;   // what every device from sm_80 on has

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
  int64_t processors() const { return processors_; }
  bool has_tensor_cores() const { return major_ >= 8; }  // for bfloat16
  int64_t most_filter_rows() const { return 1 << 17; }
  float bound_share() const { return 1; }
  bool always_filters() const { return false; }
  void prepare_scan();
  void scan(const ScanArrays& a, bool plain);

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
  void give_up(void* p) {
    cudaSetDevice(device_);  // the thread may be new to it
    cudaFree(p);
  }
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
    constexpr size_t shared = sizeof(typename Kernel::Shared);
    static_assert(shared <= kSharedOnDemand, "more shared memory than every device has");
    const int64_t blocks = kernel.blocks();
    if (blocks <= 0) return;
    if (blocks > INT32_MAX) fail(Error::kShape, "more rows than one launch can take");
    if constexpr (shared <= kSharedAtOnce) {
      run_kernel<<<static_cast<unsigned>(blocks), Kernel::kThreads, 0, stream_>>>(kernel);
    } else {
      check_cuda(cudaFuncSetAttribute(run_large_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
                 "asking for shared memory");
      run_large_kernel<<<static_cast<unsigned>(blocks), Kernel::kThreads, shared, stream_>>>(kernel);
    }
    check_cuda(cudaGetLastError(), "starting a kernel");
  }

 private:
  static void note_scan(int device, int32_t scan);
  int32_t scan_ = VQ_SCAN_UNKNOWN;
  int device_, processors_ = 1, major_ = 0;
  bool pooled_ = false;
  cudaStream_t own_ = nullptr, stream_ = nullptr;
  cudaStream_t copies_ = nullptr;  // of rows that come in blocks, with what orders it against stream_
  cudaEvent_t sent_[2] = {}, used_[2] = {};
};

}  // namespace vq::gpu
