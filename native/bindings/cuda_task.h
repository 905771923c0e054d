// What the calls on a device library share: the arrays of JavaScript that travel for a call or stay on the device, and the
// table per thread of Node in which devices and memory, whole numbers in JavaScript, are found.
#pragma once
#include <map>

#include "arrays.h"
#include "device_library.h"
#include "numbers.h"
#include "task.h"
#include "vq/codes.h"

namespace vq_node {

using Memory = std::shared_ptr<DeviceBuffer>;

struct CudaState {
  std::vector<std::shared_ptr<Device>> devices;
  std::map<int32_t, Memory> memory;
  int32_t next = 1;
  int32_t keep(Memory m) {
    memory.emplace(next, std::move(m));
    return next++;
  }
};
inline CudaState& state(const Info& info) { return *static_cast<CudaState*>(info.Data()); }

inline std::shared_ptr<Device> device_at(const Info& info) {
  CudaState& s = state(info);
  return s.devices.at(static_cast<size_t>(whole(info[0], 0, static_cast<int64_t>(s.devices.size()) - 1, "device")));
}
inline Memory memory_at(CudaState& s, const Napi::Value& handle) {
  const auto found = s.memory.find(static_cast<int32_t>(whole(handle, 1, INT32_MAX, "handle")));
  if (found == s.memory.end()) vq::fail(vq::Error::kDevice, "memory that was released");
  return found->second;
}

template <class T>
class Source {
 public:
  void set(CudaState& s, const Napi::Value& v, bool async) {
    if (v.IsNumber()) {
      memory_ = memory_at(s, v);
      size_ = static_cast<int64_t>(memory_->device()->table->buffer_bytes(memory_->get()) / sizeof(T));
    } else {
      host_.set(v, async);
      size_ = host_.size();
    }
  }
  int64_t size() const { return size_; }
  // Memory of the host, for calls that bring it to the device themselves; null where it is on the device already, or empty.
  const T* host() const { return memory_ ? nullptr : host_.data(); }
  const vq_buffer* on(const std::shared_ptr<Device>& device) {
    if (!memory_) {
      memory_ = std::make_shared<DeviceBuffer>(device, static_cast<uint64_t>(size_) * sizeof(T));
      memory_->upload(host_.data(), static_cast<uint64_t>(size_) * sizeof(T));
    }
    return memory_->get();
  }

 private:
  Input<T> host_;
  Memory memory_;
  int64_t size_ = 0;
};

// A result: a typed array, or the handle of new memory.
template <class T>
class Target {
 public:
  void make(Napi::Env env, int64_t size, bool async, bool stays) {
    size_ = size, stays_ = stays;
    if (!stays) host_.make(env, size, async);
  }
  vq_buffer* on(const std::shared_ptr<Device>& device) {
    memory_ = std::make_shared<DeviceBuffer>(device, bytes());
    return memory_->get();
  }
  // Where a call that reads the host's memory writes.
  T* host() { return host_.data(); }
  void fetch() {
    if (!stays_ && memory_) memory_->download(host_.data(), bytes()), memory_.reset();
  }
  Napi::Value take(Napi::Env env, CudaState& s) {
    if (!stays_) return host_.take(env);
    return Napi::Number::New(env, s.keep(std::move(memory_)));
  }

 private:
  uint64_t bytes() const { return static_cast<uint64_t>(size_) * sizeof(T); }
  Output<T> host_;
  Memory memory_;
  int64_t size_ = 0;
  bool stays_ = false;
};

class DeviceTask : public Task {
 public:
  std::shared_ptr<Device> device;
  CudaState* tables = nullptr;
  void run(const vq::CallOptions& o) override {
    stop_ = o.stop;
    const vq_call call{nullptr, [](void* user) -> int {
                         const auto* stop = static_cast<DeviceTask*>(user)->stop_;
                         return stop && stop->load(std::memory_order_relaxed);
                       }, this};
    compute(call);
  }

 protected:
  virtual void compute(const vq_call& call) = 0;
  void must(int code) const { check(*device, code); }

 private:
  const std::atomic<bool>* stop_ = nullptr;
};

inline int64_t rows_of(int64_t length, int64_t dim, const char* name) {
  if (length % dim != 0) vq::fail(vq::Error::kShape, std::string(name) + " has a length that dim does not divide");
  return length / dim;
}
template <class T>
std::unique_ptr<T> task_on(const Info& info) {
  auto t = std::make_unique<T>();
  t->device = device_at(info);
  t->tables = &state(info);
  return t;
}
inline Napi::Value start(const Info& info, std::unique_ptr<Task> task, bool async, const Napi::Value& progress = Napi::Value()) {
  return async ? run_async(info.Env(), std::move(task), progress) : run_now(info.Env(), *task);
}

void register_cuda_lattice(Napi::Env env, Napi::Object exports, CudaState* tables);  // cuda_lattice.cc

}  // namespace vq_node
