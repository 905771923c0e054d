// One call that can run here and now or on a thread of libuv's pool.
#pragma once
#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>

#include "addon.h"
#include "vq/quantize.h"

namespace vq_node {

class Task {
 public:
  virtual ~Task() = default;
  virtual void run(const vq::CallOptions& options) = 0;  // may be on another thread: no JavaScript here
  virtual Napi::Value result(Napi::Env env) = 0;
  int threads = 1;
  std::function<void(int, double)> progress;  // called from run
};

// Runs the task now and returns its result.
Napi::Value run_now(Napi::Env env, Task& task);

// Starts the task; returns { promise, abort() }. `progress`, where a function, is called on the JavaScript thread with
// (iteration, value), possibly after the promise has settled.
Napi::Value run_async(Napi::Env env, std::unique_ptr<Task> task, const Napi::Value& progress);

}  // namespace vq_node
