// Device buffers for tests: filled from vectors, with guard values behind the end.
#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "vq/backend.h"

namespace vq_test {

template <class T>
class DeviceArray {
 public:
  DeviceArray(const vq_backend& b, vq_context* c, const std::vector<T>& values) : b_(b), n_(values.size()) {
    std::vector<unsigned char> all((n_ + kGuard) * sizeof(T), 0xA5);
    if (n_) std::memcpy(all.data(), values.data(), n_ * sizeof(T));
    if (b_.buffer_create(c, all.size(), &buffer_) != VQ_OK) buffer_ = nullptr;
    else b_.upload(buffer_, 0, all.data(), all.size(), nullptr);
  }
  // For results: holds what no kernel may take for a start, NaN as a float and -1 as an index.
  DeviceArray(const vq_backend& b, vq_context* c, size_t n) : DeviceArray(b, c, junk(n)) {}
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() { b_.buffer_destroy(buffer_); }
  operator vq_buffer*() const { return buffer_; }
  std::vector<T> values() const {
    std::vector<T> v(n_);
    if (n_) b_.download(buffer_, 0, v.data(), n_ * sizeof(T), nullptr);
    return v;
  }
  bool intact() const {
    std::vector<unsigned char> guard(kGuard * sizeof(T));
    b_.download(buffer_, n_ * sizeof(T), guard.data(), guard.size(), nullptr);
    for (unsigned char g : guard)
      if (g != 0xA5) return false;
    return true;
  }

 private:
  static std::vector<T> junk(size_t n) {
    std::vector<T> v(n);
    if (n) std::memset(v.data(), 0xFF, n * sizeof(T));
    return v;
  }
  static constexpr size_t kGuard = 64;
  const vq_backend& b_;
  size_t n_;
  vq_buffer* buffer_ = nullptr;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace vq_test
