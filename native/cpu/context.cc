#include "vq/context.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "vq/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace vq {
namespace {

constexpr size_t kSpare = size_t{256} << 20;  // spare memory that may always be kept

// Eight size classes per power of two: at most 12.5% is wasted, and training steps of equal shapes hit the cache.
size_t size_class(size_t bytes) {
  if (bytes <= 256) return 256;
  int top = 63 - __builtin_clzll(bytes);
  const size_t step = size_t{1} << (top - 3);
  return (bytes + step - 1) / step * step;
}

// The system promises more memory than it has, and ends the process that uses it.
size_t physical_memory() {
  static const size_t bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// Under AddressSanitizer only the bytes that were asked for may be touched, not the rest of a block, and no spare block.
void allow(void* p, size_t bytes, size_t capacity) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(p, capacity);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(p) + bytes, capacity - bytes);
#else
  (void)p, (void)bytes, (void)capacity;
#endif
}

void* system_allocate(size_t bytes) {
  void* p = nullptr;
  const size_t align = bytes >= (size_t{2} << 20) ? size_t{2} << 20 : 64;
  if (posix_memalign(&p, align, bytes) != 0) return nullptr;
  if (align > 64) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

}  // namespace

Context::~Context() {
  for (Buffer& b : slots_) std::free(b.data);
  std::free(scratch_.data);
  trim();
}

void Context::trim() {
  for (auto& entry : cache_)
    for (void* p : entry.second.blocks) std::free(p);
  cache_.clear();
  bytes_cached = 0;
}

size_t Context::allowed() { return std::max({kSpare, lately_, before_}); }

// Sizes that nobody asked for in the longest time go first.
void Context::evict() {
  const size_t most = allowed();
  while (bytes_cached > most) {
    auto oldest = cache_.end();
    for (auto it = cache_.begin(); it != cache_.end(); ++it)
      if (!it->second.blocks.empty() && (oldest == cache_.end() || it->second.used < oldest->second.used)) oldest = it;
    bytes_cached -= oldest->first * oldest->second.blocks.size();
    for (void* p : oldest->second.blocks) std::free(p);
    cache_.erase(oldest);
  }
}

int32_t Context::allocate(size_t bytes, int type) {
  if (bytes > physical_memory() || bytes_in_use + bytes > physical_memory()) fail(Error::kMemory, "allocation of " + std::to_string(bytes) + " bytes refused");
  const size_t capacity = size_class(bytes);
  void* p = nullptr;
  Spare& spare = cache_[capacity];
  spare.used = ++clock_;
  if (!spare.blocks.empty()) {
    p = spare.blocks.back();
    spare.blocks.pop_back();
    bytes_cached -= capacity;
  } else {
    p = system_allocate(capacity);
    if (!p) {
      trim();
      p = system_allocate(capacity);
    }
    if (!p) fail(Error::kMemory, "out of memory allocating " + std::to_string(bytes) + " bytes");
  }
  int32_t handle;
  if (!free_slots_.empty()) {
    handle = free_slots_.back();
    free_slots_.pop_back();
  } else {
    handle = static_cast<int32_t>(slots_.size());
    slots_.emplace_back();
  }
  slots_[handle] = {p, bytes, capacity, type};
  allow(p, bytes, capacity);
  bytes_in_use += capacity;
  bytes_peak = std::max(bytes_peak, bytes_in_use);
  if (clock_ % 1024 == 0) before_ = lately_, lately_ = 0;
  lately_ = std::max(lately_, bytes_in_use);
  ++buffers;
  return handle;
}

void Context::release(int32_t handle) {
  Buffer& b = at(handle);
  bytes_in_use -= b.capacity;
  bytes_cached += b.capacity;
  cache_[b.capacity].blocks.push_back(b.data);
  allow(b.data, 0, b.capacity);
  b = {};
  free_slots_.push_back(handle);
  --buffers;
  if (bytes_cached > allowed()) evict();
}

Buffer& Context::at(int32_t handle) {
  if (handle < 0 || handle >= static_cast<int32_t>(slots_.size()) || !slots_[handle].data)
    fail(Error::kValue, "tensor handle " + std::to_string(handle) + " is not alive");
  return slots_[handle];
}

void* Context::scratch(size_t bytes) {
  if (scratch_.capacity < bytes) {
    std::free(scratch_.data);
    scratch_ = {};
    scratch_.data = system_allocate(size_class(bytes));
    if (!scratch_.data) fail(Error::kMemory, "out of memory allocating " + std::to_string(bytes) + " bytes");
    scratch_.capacity = size_class(bytes);
  }
  allow(scratch_.data, bytes, scratch_.capacity);
  return scratch_.data;
}

}  // namespace vq
