// What the host side of every call is written on. A machine M is a device that kernels run on, CudaMachine or the emulated
// one of native/emulated:
//
//   void* allocate(uint64_t bytes)            throws Error kMemory; release(void*)
//   upload(to, from, bytes), download(to, from, bytes)   end when the host's memory may be used again
//   copy(to, from, bytes)                     device to device, enqueued
//   launch(kernel)                            enqueued; a kernel of 0 blocks is none
//   processors(), has_tensor_cores()          the latter for bfloat16
//   prepare_scan(), scan(arrays, plain)       FilterScan, or unless `plain` what is faster here and was compared with it
//   most_filter_rows(), bound_share(), always_filters()   2^17, 1 and false, but for tests
//   sort_pairs(keys, values, keys_out, values_out, count, bits)   stable, by the lowest `bits` bits
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/kernels/fill.h"
#include "cuda/kernels/row_norms.h"
#include "vq/backend.h"
#include "vq/describe_row.h"
#include "vq/error.h"

namespace vq::gpu {

struct CallStopped {};

// One call: the machine and what the caller wants to be asked.
template <class M>
struct Run {
  M& machine;
  const vq_call* call;
  void look() const {
    if (call && call->stop && call->stop(call->user) != 0) throw CallStopped();
  }
};

// Working memory on the device.
template <class M, class T>
class Array {
 public:
  Array(M& machine, int64_t count)
      : machine_(machine),
        data_(count > 0 ? static_cast<T*>(machine.allocate(static_cast<uint64_t>(count) * sizeof(T))) : nullptr) {}
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() {
    if (data_) machine_.release(data_);
  }
  T* data() const { return data_; }

 private:
  M& machine_;
  T* data_;
};

template <class M, class T>
void put(M& machine, T* to, const T* from, int64_t count) {
  if (count > 0) machine.upload(to, from, static_cast<uint64_t>(count) * sizeof(T));
}
template <class M, class T>
std::vector<T> fetch(M& machine, const T* from, int64_t count) {
  std::vector<T> host(static_cast<size_t>(count));
  if (count > 0) machine.download(host.data(), from, static_cast<uint64_t>(count) * sizeof(T));
  return host;
}

template <class M, class T>
void get(M& machine, T* to, const T* from, int64_t count) {
  if (count > 0) machine.download(to, from, static_cast<uint64_t>(count) * sizeof(T));
}

// Cells that keep the first of something.
template <class M, int kCount>
class Firsts {
 public:
  explicit Firsts(M& machine) : machine_(machine), cells_(machine, kCount) { clear(); }
  void clear() { machine_.launch(each_of(kCount, Fill<int64_t>{kNone, cells_.data()})); }
  int64_t* cell(int i) const { return cells_.data() + i; }
  std::vector<int64_t> values() const { return fetch(machine_, cells_.data(), kCount); }

 private:
  M& machine_;
  Array<M, int64_t> cells_;
};

template <class M>
[[noreturn]] void fail_at_row(M& machine, const float* x, int64_t row, int64_t dim, const char* between, const char* otherwise) {
  const std::vector<float> values = fetch(machine, x + row * dim, dim);
  fail(Error::kValue, "row " + std::to_string(row) + between + describe_row(values.data(), dim, otherwise));
}
template <class M>
[[noreturn]] void fail_without_code(M& machine, const float* x, int64_t row, int64_t dim) {
  fail_at_row(machine, x, row, dim, " has no nearest code: it ", "is so large that its scores overflow float32");
}

// The same for rows in host memory: bad[i] is the first wrong one of `part` rows from x + i part on, `before` rows before x.
inline void fail_at_first_bad(const std::vector<int64_t>& bad, int64_t part, const float* x, int64_t before, int64_t dim) {
  for (size_t i = 0; i < bad.size(); ++i) {
    if (bad[i] == kNone) continue;
    const int64_t row = static_cast<int64_t>(i) * part + bad[i];
    fail(Error::kValue, "row " + std::to_string(before + row) + " has no nearest code: it " +
                            describe_row(x + row * dim, dim, "is so large that its scores overflow float32"));
  }
}

}  // namespace vq::gpu
