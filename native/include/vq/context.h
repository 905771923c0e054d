// One Context per Node environment (main thread or worker): the buffers behind tensor handles and a caching allocator, which keeps no more
// spare memory than the most that was lately in use.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace vq {

struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;     // what the tensor asked for
  size_t capacity = 0;  // what the allocator gave
  int type = -1;        // the DType of its elements; -1: any
};

class Context {
 public:
  ~Context();
  int32_t allocate(size_t bytes, int type = -1);  // 64-byte aligned, contents undefined
  void release(int32_t handle);
  Buffer& at(int32_t handle);

  int threads = 1;
  size_t bytes_in_use = 0, bytes_cached = 0, bytes_peak = 0;
  int64_t buffers = 0;
  void trim();  // gives cached memory back to the system

  std::shared_ptr<void> dnnl;  // oneDNN's engine, stream and primitives (dnnl.cc)

  // Scratch that one kernel call may use; the next call reuses it.
  void* scratch(size_t bytes);

 private:
  std::vector<Buffer> slots_;
  std::vector<int32_t> free_slots_;
  struct Spare {
    std::vector<void*> blocks;
    uint64_t used = 0;  // when a block of this size was last asked for
  };
  void evict();
  size_t allowed();  // spare memory that may be kept
  std::unordered_map<size_t, Spare> cache_;
  uint64_t clock_ = 0;
  // The most in use among the allocations of this thousand and of the one before.
  size_t lately_ = 0, before_ = 0;
  Buffer scratch_;
};

}  // namespace vq
