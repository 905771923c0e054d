// A device library (vq/backend.h) opened at run time, or the reason why it gives no device.
#pragma once
#include <memory>
#include <string>

#include "vq/backend.h"
#include "vq/quantize.h"

namespace vq_node {

// The library's first usable device, with a context of its own for the life of the process.
struct Device {
  const vq_backend* table;
  vq_context* context;
  vq_device_info info;
  vq_versions versions;
  int32_t count;
};

struct OpenedLibrary {
  std::shared_ptr<Device> device;  // or null, and:
  std::string code;                // cannot-open, other-version, no-driver, old-driver, no-device, old-device, failed
  std::string reason;
};

// Opened once per path and process, whichever thread asks; never closed.
const OpenedLibrary& open_library(const std::string& path);

// Throws what a call's code means; vq::Stopped for a stopped one.
void check(const Device& device, int code);

// Memory on a device.
class DeviceBuffer {
 public:
  DeviceBuffer(std::shared_ptr<Device> device, uint64_t bytes) : device_(std::move(device)) {
    check(*device_, device_->table->buffer_create(device_->context, bytes, &buffer_));
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  ~DeviceBuffer() { device_->table->buffer_destroy(buffer_); }
  vq_buffer* get() const { return buffer_; }
  const std::shared_ptr<Device>& device() const { return device_; }
  void upload(const void* from, uint64_t bytes) { check(*device_, device_->table->upload(buffer_, 0, from, bytes, nullptr)); }
  void download(void* to, uint64_t bytes) const { check(*device_, device_->table->download(buffer_, 0, to, bytes, nullptr)); }

 private:
  std::shared_ptr<Device> device_;
  vq_buffer* buffer_ = nullptr;
};

}  // namespace vq_node
