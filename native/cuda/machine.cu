// Memory, streams, events and sorting of the GPU machine; which devices can be used.
#include "cuda/machine.cuh"

#include <array>
#include <atomic>
#include <cub/device/device_radix_sort.cuh>
#include <cstdio>
#include <string>

namespace vq::gpu {
namespace {

std::array<std::atomic<int32_t>, 64> scans;  // by device

constexpr int kLeastMajor = 7, kLeastMinor = 5;

std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

struct Temporary {
  Temporary(CudaMachine& machine, uint64_t bytes) : machine(machine), data(machine.allocate(bytes)) {}
  ~Temporary() { machine.release(data); }
  CudaMachine& machine;
  void* data;
};

}  // namespace

void fail_cuda(cudaError_t error, const char* what) {
  cudaGetLastError();  // what can be forgotten is
  const std::string text = std::string(what) + ": " + cudaGetErrorString(error);
  fail(error == cudaErrorMemoryAllocation ? Error::kMemory : Error::kDevice,
       error == cudaErrorMemoryAllocation ? "out of device memory (" + text + ")" : text);
}

int CudaMachine::count(vq_versions& versions) {
  // The driver's version is 0 where there is no driver.
  if (cudaDriverGetVersion(&versions.driver) != cudaSuccess) versions.driver = 0;
  if (cudaRuntimeGetVersion(&versions.runtime) != cudaSuccess) versions.runtime = CUDART_VERSION;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) cudaGetLastError();
  if (versions.driver == 0) throw Unusable{VQ_ERROR_NO_DRIVER, "no NVIDIA driver"};
  if (error == cudaErrorInsufficientDriver)
    throw Unusable{VQ_ERROR_OLD_DRIVER, "the NVIDIA driver is too old: it supports CUDA " + version_text(versions.driver) +
                                            ", the library needs " + version_text(versions.runtime)};
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    throw Unusable{VQ_ERROR_NO_DEVICE, "the NVIDIA driver finds no GPU"};
  if (error != cudaSuccess)
    throw Unusable{VQ_ERROR_NO_DEVICE, std::string("the NVIDIA driver answers: ") + cudaGetErrorString(error)};
  bool usable = false;
  for (int i = 0; i < count; ++i) {
    const vq_device_info d = info(i);
    usable = usable || d.compute_major > kLeastMajor || (d.compute_major == kLeastMajor && d.compute_minor >= kLeastMinor);
  }
  if (!usable) {
    const vq_device_info d = info(0);
    throw Unusable{VQ_ERROR_OLD_DEVICE, std::string(d.name) + " is too old: compute capability " +
                                            std::to_string(d.compute_major) + "." + std::to_string(d.compute_minor) +
                                            ", the library needs " + std::to_string(kLeastMajor) + "." +
                                            std::to_string(kLeastMinor)};
  }
  return count;
}

vq_device_info CudaMachine::info(int device) {
  cudaDeviceProp p;
  check_cuda(cudaGetDeviceProperties(&p, device), "asking for a device");
  vq_device_info i{};
  std::snprintf(i.name, sizeof(i.name), "%s", p.name);
  i.compute_major = p.major, i.compute_minor = p.minor;
  i.processors = p.multiProcessorCount;
  i.memory = p.totalGlobalMem;
  if (device < static_cast<int>(scans.size())) i.scan = scans[static_cast<size_t>(device)];
  return i;
}
void CudaMachine::note_scan(int device, int32_t scan) {
  if (device < static_cast<int>(scans.size())) scans[static_cast<size_t>(device)] = scan;
}

CudaMachine::CudaMachine(int device) : device_(device) {
  check_cuda(cudaSetDevice(device), "choosing a device");
  // A build for other architectures than this device's is told here, not by the first call.
  cudaFuncAttributes any;
  const cudaError_t code = cudaFuncGetAttributes(&any, run_kernel<Elementwise<Fill<int32_t>>>);
  if (code != cudaSuccess) {
    const vq_device_info d = info(device);
    fail_cuda(code, ("this build of the library has no code for " + std::string(d.name) + " of compute capability " +
                     std::to_string(d.compute_major) + "." + std::to_string(d.compute_minor)).c_str());
  }
  check_cuda(cudaStreamCreateWithFlags(&own_, cudaStreamNonBlocking), "making a stream");
  stream_ = own_;
  check_cuda(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, device), "asking for a device");
  check_cuda(cudaDeviceGetAttribute(&major_, cudaDevAttrComputeCapabilityMajor, device), "asking for a device");
  int pooled = 0;
  if (cudaDeviceGetAttribute(&pooled, cudaDevAttrMemoryPoolsSupported, device) == cudaSuccess && pooled) {
    cudaMemPool_t pool;
    uint64_t keep = UINT64_MAX;  // memory stays with the process between calls
    pooled_ = cudaDeviceGetDefaultMemPool(&pool, device) == cudaSuccess &&
              cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep) == cudaSuccess;
  }
}

CudaMachine::~CudaMachine() {
  cudaSetDevice(device_);
  cudaStreamSynchronize(own_);
  cudaStreamDestroy(own_);
  if (!copies_) return;
  cudaStreamDestroy(copies_);
  for (int slot = 0; slot < 2; ++slot) {
    if (sent_[slot]) cudaEventDestroy(sent_[slot]);
    if (used_[slot]) cudaEventDestroy(used_[slot]);
  }
}

void CudaMachine::use(Stream* stream) {
  check_cuda(cudaSetDevice(device_), "choosing a device");
  stream_ = stream ? stream : own_;
}

void CudaMachine::figures(uint64_t& total, uint64_t& free) {
  size_t t = 0, f = 0;
  check_cuda(cudaMemGetInfo(&f, &t), "asking for memory figures");
  total = t, free = f;
  // What the pool keeps from earlier calls is there for the next one: reserve() takes it back, too.
  cudaMemPool_t pool;
  uint64_t kept = 0, used = 0;
  if (pooled_ && cudaDeviceGetDefaultMemPool(&pool, device_) == cudaSuccess &&
      cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &kept) == cudaSuccess &&
      cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used) == cudaSuccess && used <= kept)
    free += kept - used;
}

CudaMachine::Stream* CudaMachine::make_stream() {
  cudaStream_t stream;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return stream;
}
CudaMachine::Event* CudaMachine::make_event() {
  cudaEvent_t event;
  check_cuda(cudaEventCreate(&event), "making an event");
  return event;
}
float CudaMachine::elapsed(Event* from, Event* to) {
  float milliseconds = 0;
  check_cuda(cudaEventSynchronize(to), "waiting for an event");
  check_cuda(cudaEventElapsedTime(&milliseconds, from, to), "timing");
  return milliseconds;
}

// Working memory of a call, in the order of its stream.
void* CudaMachine::allocate(uint64_t bytes) {
  if (!pooled_) return reserve(bytes);
  void* p = nullptr;
  check_cuda(cudaMallocAsync(&p, bytes, stream_), "allocating");
  return p;
}
void CudaMachine::release(void* p) {
  if (pooled_) cudaFreeAsync(p, stream_);
  else give_up(p);
}
// Waits for the device on both ends, so that a buffer may be met on any stream.
void* CudaMachine::reserve(uint64_t bytes) {
  void* p = nullptr;
  cudaError_t error = cudaMalloc(&p, bytes);
  if (error == cudaErrorMemoryAllocation) {  // what the pool keeps may be what is missing
    cudaMemPool_t pool;
    cudaGetLastError();
    if (pooled_ && cudaDeviceGetDefaultMemPool(&pool, device_) == cudaSuccess) cudaMemPoolTrimTo(pool, 0);
    error = cudaMalloc(&p, bytes);
  }
  check_cuda(error, "allocating");
  return p;
}

void CudaMachine::upload(void* to, const void* from, uint64_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "uploading");
  synchronize();
}
void CudaMachine::download(void* to, const void* from, uint64_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "downloading");
  synchronize();
}
void CudaMachine::copy(void* to, const void* from, uint64_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "copying");
}

void* CudaMachine::pin(uint64_t bytes) {
  void* p = nullptr;
  const cudaError_t error = cudaHostAlloc(&p, bytes, cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) cudaGetLastError(), fail(Error::kMemory, "out of host memory that can be pinned");
  check_cuda(error, "pinning memory");
  return p;
}
void CudaMachine::used(int slot) {
  // One by one: where one of them fails, the next call makes those that are missing.
  if (!copies_) check_cuda(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "making a stream");
  for (cudaEvent_t* e : {&sent_[0], &sent_[1], &used_[0], &used_[1]})
    if (!*e) check_cuda(cudaEventCreateWithFlags(e, cudaEventDisableTiming), "making an event");
  check_cuda(cudaEventRecord(used_[slot], stream_), "recording an event");
}
void CudaMachine::send(int slot, void* to, const void* pinned, uint64_t bytes) {
  check_cuda(cudaStreamWaitEvent(copies_, used_[slot], 0), "ordering copies");
  check_cuda(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, copies_), "uploading");
  check_cuda(cudaEventRecord(sent_[slot], copies_), "recording an event");
}

void CudaMachine::sort_pairs(const int32_t* keys, const int32_t* values, int32_t* keys_out, int32_t* values_out,
                             int64_t count, int bits) {
  if (count <= 0) return;
  size_t bytes = 0;
  const auto sort = [&](void* temporary) {
    check_cuda(cub::DeviceRadixSort::SortPairs(temporary, bytes, keys, keys_out, values, values_out, count, 0, bits, stream_),
               "sorting rows by code");
  };
  sort(nullptr);
  const Temporary temporary(*this, bytes ? bytes : 1);
  sort(temporary.data);
}

}  // namespace vq::gpu
