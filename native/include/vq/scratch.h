// Working memory of the quantization functions: 64-byte aligned, freed on scope exit, and counted, so that tests can
// prove how much a call needs.
#pragma once
#include <algorithm>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

namespace vq {

struct ScratchCount {
  static std::atomic<int64_t> now, peak;
  static void add(int64_t bytes);
  static void reset() { peak.store(now.load()); }
};

template <class T>
class Scratch {
  static_assert(std::is_trivially_copyable<T>::value, "plain values only");

 public:
  Scratch() = default;
  explicit Scratch(size_t count) { reset(count); }
  Scratch(Scratch&& o) noexcept { swap(o); }
  Scratch& operator=(Scratch&& o) noexcept {
    swap(o);
    return *this;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { release(); }

  // Contents are undefined afterwards.
  void reset(size_t count) {
    release();
    if (count > (size_t{1} << 46) / sizeof(T)) throw std::bad_alloc();
    // Never none: kernels count from the start of an array that has no elements too.
    const size_t bytes = (std::max<size_t>(count, 1) * sizeof(T) + 63) / 64 * 64;
    // Large arrays in huge pages: fewer page faults, and streaming them misses no address translation. Only whole
    // huge pages are asked for, so that no more memory is taken than the array needs.
    constexpr size_t kHuge = size_t{2} << 20;
    void* p = nullptr;
    if (posix_memalign(&p, bytes < 2 * kHuge ? 64 : kHuge, bytes) != 0) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (bytes >= 2 * kHuge) madvise(p, bytes / kHuge * kHuge, MADV_HUGEPAGE);
#endif
    data_ = static_cast<T*>(p);
    size_ = count;
    bytes_ = bytes;
    ScratchCount::add(static_cast<int64_t>(bytes));
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return bytes_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  void swap(Scratch& o) {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(bytes_, o.bytes_);
  }
  void release() {
    if (!data_) return;
    std::free(data_);
    ScratchCount::add(-static_cast<int64_t>(bytes_));
    data_ = nullptr;
    size_ = bytes_ = 0;
  }
  T* data_ = nullptr;
  size_t size_ = 0, bytes_ = 0;
};

}  // namespace vq
