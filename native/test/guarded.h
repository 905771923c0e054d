// An array with guard values on both sides: a kernel that writes past an end is caught.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

namespace vq_test {

template <class T>
class Guarded {
 public:
  explicit Guarded(size_t n) : n_(n), all_((n + 2 * kGuard) * sizeof(T) + 4, kMark) {}
  T* data() { return reinterpret_cast<T*>(all_.data() + kGuard * sizeof(T)); }
  T& operator[](size_t i) { return data()[i]; }
  size_t size() const { return n_; }
  bool intact() const {
    for (size_t i = 0; i < kGuard * sizeof(T); ++i)
      if (all_[i] != kMark || all_[(kGuard + n_) * sizeof(T) + i] != kMark) return false;
    return true;
  }
  std::vector<T> values() { return std::vector<T>(data(), data() + n_); }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr unsigned char kMark = 0xA5;
  size_t n_;
  std::vector<unsigned char> all_;
};

}  // namespace vq_test
